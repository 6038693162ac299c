// The first line as a statement of the sql adapter, the rest as the event of a job for sql, file and http, and as the answer of a service.
// Events are hostile: nothing they say may widen what the settings allow.
#include "adapters/api/event_reader.hpp"
#include "adapters/file/core/plan.hpp"
#include "adapters/http/core/plan.hpp"
#include "adapters/sql/core/plan.hpp"
#include "protocol/event.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>

namespace {

using namespace sallyport;
using namespace sallyport::adapters;

adapters::job job_of(std::string_view event, const event_attributes& attributes) {
  adapters::job j;
  j.message = {1, 2}, j.fence = {3, 4}, j.group = {"plant"}, j.connection = {"erp"};
  j.attributes = attributes;
  j.event = std::make_shared<const std::string>(event);
  return j;
}

bool is_one_line(std::string_view text) {
  return text.find_first_of(std::string_view{"\r\n\0", 3}) == text.npos;
}

bool has_part(std::string_view path, std::string_view part) {
  return ("/" + std::string{path} + "/").find("/" + std::string{part} + "/") != std::string::npos;
}

void judge_path(const std::string& path) {
  SALLYPORT_ASSERT(path.empty() || path.front() != '/');
  SALLYPORT_ASSERT(!has_part(path, "..") && (path == "." || !has_part(path, ".")));
  SALLYPORT_ASSERT(path.find('\0') == path.npos);
  SALLYPORT_ASSERT(("/" + path).find("/" + std::string{file::temporary_prefix}) == std::string::npos);
}

void judge_file(const adapters::job& j) {
  file::settings s;
  s.root = "/srv", s.bytes_max = 64;
  for (const char* pattern : {"", "in/{type}/{id}.json", "{data.name}"}) {
    s.write_path = pattern;
    s.operations = {"write", "list", "move"};
    const auto planned = file::plan(s, j);
    const auto* c = std::get_if<file::command>(&planned);
    if (!c)
      continue;
    SALLYPORT_ASSERT(c->what == file::operation::write || c->what == file::operation::list || c->what == file::operation::move);
    judge_path(c->path);
    judge_path(c->to);
    SALLYPORT_ASSERT(c->what == file::operation::list || !c->path.empty());
    SALLYPORT_ASSERT(c->content.size() <= s.bytes_max);
    SALLYPORT_ASSERT(!file::describe(*c).empty());
  }
}

void judge_http(const adapters::job& j) {
  http::settings s;
  s.url = "http://service", s.methods = {"GET", "POST"}, s.path_prefixes = {"/v1/orders"};
  s.headers = {{"X-Key", "secret"}}, s.bearer_token = "token";
  const auto planned = http::plan(s, j);
  const auto* r = std::get_if<http::request>(&planned);
  if (!r)
    return;
  SALLYPORT_ASSERT(r->method == "GET" || r->method == "POST");
  const auto path = r->path.substr(0, r->path.find('?'));
  SALLYPORT_ASSERT(path == "/v1/orders" || path.rfind("/v1/orders/", 0) == 0);
  SALLYPORT_ASSERT(!has_part(path, "..") && !has_part(path, "."));
  SALLYPORT_ASSERT(std::all_of(r->path.begin(), r->path.end(), [](char c) { return c > ' ' && c < 0x7f && c != '#'; }));
  int keys = 0, credentials = 0;
  for (const auto& [name, value] : r->headers) {
    SALLYPORT_ASSERT(http::is_token(name) && is_one_line(value));
    const auto lower = http::lower(name);
    keys += lower == "idempotency-key", credentials += lower == "authorization";
    SALLYPORT_ASSERT(lower != "host" && lower != "content-length" && lower != "transfer-encoding" && lower != "connection");
  }
  SALLYPORT_ASSERT(keys == 1 && credentials == 1);
}

void judge_reply(std::string_view in) {
  http::settings s;
  http::reply r;
  const auto line = fuzz::take_line(in);
  r.status = 100 + static_cast<int>(line.size()) * 7 % 500;
  r.headers = {{"retry-after", std::string{line}}, {"content-type", "application/json"}, {"etag", std::string{line}}};
  r.body = in.substr(0, 4096);
  const wall_time now{std::chrono::seconds{1'800'000'000}};
  if (const auto after = http::parse_retry_after(line, now))
    SALLYPORT_ASSERT(after->count() >= 0 && *after <= std::chrono::hours{24});
  const auto o = http::classify(s, r, "POST /v1", now);
  SALLYPORT_ASSERT(o.result.size() <= result_bytes_max);
  SALLYPORT_ASSERT((o.what == outcome::kind::done) == o.error.empty());
  SALLYPORT_ASSERT(is_one_line(o.error));
  if (!o.result.empty()) { // It is embedded in the hub's answers as it is: it must be JSON.
    const std::string wrapped{R"({"specversion":"1.0","id":"1","source":"/s","type":"t","data":)" + o.result + "}"};
    SALLYPORT_ASSERT(parse_event(wrapped, {.depth = 900}).ok());
  }
}

void judge_sql(std::string_view text, const adapters::job& j) {
  sql::statement st;
  st.text = text;
  st.parameters = {
    {"id", "data.id"}, {"name", "data.lines.0.name"}, {"all", "data"}, {"message", "$message"}, {"fence", "$fence"}};
  for (auto it = st.parameters.begin(); it != st.parameters.end();) // What is not used may not be mapped.
    it = text.find(":" + it->first) == text.npos ? st.parameters.erase(it) : std::next(it);
  for (auto backend : {sql::backend_kind::sqlite, sql::backend_kind::postgresql}) {
    const auto compiled = sql::compile("s", st, backend);
    if (!compiled) {
      SALLYPORT_ASSERT(!compiled.err().detail.empty());
      continue;
    }
    for (std::size_t i = 1; i <= compiled->paths.size(); ++i)
      SALLYPORT_ASSERT(compiled->text.find((backend == sql::backend_kind::sqlite ? "?" : "$") + std::to_string(i))
                       != std::string::npos);
    sql::settings s;
    s.backend = backend, s.statements = {{"s", st}}, s.default_statement = "s";
    const auto catalog = sql::catalog::make(s);
    SALLYPORT_ASSERT(catalog.ok());
    std::vector<sql::work> works;
    for (std::size_t i = 0; i < 3; ++i) {
      auto planned = sql::plan_work(*catalog, j, i);
      if (auto* w = std::get_if<sql::work>(&planned)) {
        SALLYPORT_ASSERT(w->parameters.size() == compiled->paths.size());
        works.push_back(std::move(*w));
      }
    }
    const auto wanted = works.size();
    std::size_t items = 0;
    for (const auto& t : sql::plan_transactions(std::move(works), sql::queue_of(j), true, 2)) {
      SALLYPORT_ASSERT(t.items.size() == 1); // The same message three times: each alone.
      SALLYPORT_ASSERT(t.steps.front().what == sql::step::kind::begin && t.steps.back().what == sql::step::kind::commit);
      items += t.items.size();
    }
    SALLYPORT_ASSERT(items == wanted);
  }
}

void judge_reader(std::string_view text) { // Input that is not JSON has no members; reading never goes past its end.
  const std::string own{text};
  const event_reader event{own};
  for (const char* path : {"id", "data", "data.id", "data.lines.0.name", "data..", "", "data.0.0.0"}) {
    const auto v = event.at(path);
    SALLYPORT_ASSERT(v.raw.empty() || (v.raw.data() >= own.data() && v.raw.data() + v.raw.size() <= own.data() + own.size()));
    (void)v.text();
  }
  (void)members_of(own);
  (void)items_of(own);
  (void)read_value(own).text();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto in = fuzz::as_text(data, size);
  judge_reply(in);
  const auto statement = fuzz::take_line(in);
  judge_reader(in);
  const auto event = parse_event(in, {});
  const auto j = event ? job_of(event->raw, event->attributes) : job_of(in, {}); // The latter never happens: robustness only.
  judge_file(j);
  judge_http(j);
  judge_sql(statement, j);
  return 0;
}
