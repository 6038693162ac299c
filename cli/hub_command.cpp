#include "cli/commands.hpp"
#include "cli/config_file.hpp"
#include "cli/huge_pages.hpp"
#include "cli/report.hpp"
#include "cli/service.hpp"
#include "cloud/hub/hub.hpp"
#include "config/options.hpp"

#include <cstdio>
#include <cstdlib>

namespace sallyport::cli {

namespace {

struct hub_variables {
  std::string config_file, listen, data, cert, key, log_level = "info";
  bool dev = false;
};

result<config::hub_settings> settings_of(const hub_variables& v, std::string& warnings) {
  config::hub_settings s;
  if (!v.config_file.empty()) {
    auto loaded = load_hub_file(v.config_file, v.dev, warnings);
    if (!loaded)
      return loaded.err();
    s = std::move(*loaded);
  } else if (v.dev) {
    s.listen = "127.0.0.1:8080";
  }
  s.dev = v.dev;
  if (!v.listen.empty())
    s.listen = v.listen;
  if (!v.data.empty())
    s.data_dir = v.data;
  if (!v.cert.empty())
    s.tls_cert_file = v.cert;
  if (!v.key.empty())
    s.tls_key_file = v.key;
  const auto refuse = [](const std::string& what) { return make_error(errc::invalid_config, what); };
  if (const auto wrong = config::check_listen(s.listen); !wrong.empty())
    return refuse("--listen " + wrong);
  if (s.data_dir.empty())
    return refuse("where does the hub keep its data? give --data DIR, or hub.data_dir in a file");
  if (!s.dev && (s.tls_cert_file.empty() || s.tls_key_file.empty()))
    return refuse("a hub needs a certificate: give --cert and --key, or [hub.tls] in a file; for a first try there is --dev");
  return s;
}

exit_code hub(const hub_variables& v) {
  std::string warnings;
  const auto settings = settings_of(v, warnings);
  if (!settings)
    return report("hub", settings.err());
  std::fputs(warnings.c_str(), stderr);
  if (settings->huge_pages)
    prefer_huge_pages();
  service system(v.log_level);
  cloud::hub_parts parts;
  parts.on_fatal = [](const std::string& why) {
    // What the store still holds in memory is not to be trusted, and nothing may be answered from it: leave at once, be started
    // anew.
    log_error("event=hub_fatal error=" + log_value(why));
    std::_Exit(static_cast<int>(exit_code::failure));
  };
  auto running = cloud::hub::start(*settings, std::move(parts));
  if (!running)
    return report("hub", running.err());
  const auto colon = settings->listen.rfind(':');
  std::printf("%s://%s:%u\n", settings->dev ? "http" : "https", settings->listen.substr(0, colon).c_str(),
              unsigned{(*running)->port()});
  std::fflush(stdout);
  service::notify("READY=1");
  while (system.wait_watched(std::nullopt) != wake_reason::stop) {
  }
  service::notify("STOPPING=1");
  log_info("event=hub_stopping");
  (*running)->stop();
  return exit_code::ok;
}

} // namespace

void add_hub_command(command& program) {
  auto v = std::make_shared<hub_variables>();
  program.sub("hub", "Run a hub: keeps messages until they are settled and grants them to agents.")
    .option("--config FILE", v->config_file, "The hub's file (`sallyport config example hub`).")
    .option("--listen HOST:PORT", v->listen, "Where to listen; port 0 takes a free one. The address is printed.")
    .option("--data DIR", v->data, "Where messages and tokens are kept; made when missing.")
    .option("--cert FILE", v->cert, "Certificate chain, PEM.")
    .option("--key FILE", v->key, "Its private key, PEM.")
    .flag("--dev", v->dev, "For trying out: plain HTTP on this machine only, the token \"dev\" may do everything.")
    .choice("--log-level LEVEL", v->log_level, log_levels(), "How much to log on stderr (default: info).")
    .examples("  sallyport hub --dev --listen 127.0.0.1:8080 --data /tmp/hub\n"
              "  sallyport hub --config /etc/sallyport/hub.toml\n"
              "The address goes to standard output when the hub is ready, logs to stderr. SIGTERM stops it.")
    .runs([v] { return hub(*v); });
}

} // namespace sallyport::cli
