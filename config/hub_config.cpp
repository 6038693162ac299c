#include "config/hub_config.hpp"

#include <cstdlib>

namespace sallyport::config {

using namespace std::chrono_literals;

const options_of<hub_settings>& hub_options() {
  using s = hub_settings;
  using l = hub_limits;
  using p = wire::queue_policy;
  static const options_of<hub_settings> table(
    "",
    {
      section<s>("hub", "The hub: keeps messages until they are settled and grants them to agents."),
      option(&s::listen, "hub.listen",
             "Where producers and agents connect. Port 0 takes a free one and writes it to data_dir/hub.port.",
             {.check = check_listen}),
      option(&s::data_dir, "hub.data_dir",
             "Holds the store, its lock and tokens.toml. Without it the folder that systemd names is used (StateDirectory=).",
             {.example = "\"/var/lib/sallyport\"", .usual = true}),
      option(&s::threads, "hub.threads", "Threads for HTTP; 0 means one for each core.", {.max = 256}),
      option(&s::session_ttl, "hub.session_ttl_ms",
             "How long an agent may be silent before its messages go to the others. It sends a heartbeat four times as often.",
             {.min = 1s, .max = 10min}),
      option(&s::announce, "hub.announce", "Whether an agent may create the connections it announces, or an administrator must.",
             {.words = {{"allow", announce_policy::allow}, {"refuse", announce_policy::refuse}}}),
      option(&s::map_bytes, "hub.map_bytes",
             "Address space of the store: the most it can ever hold. Costs no memory and no disk.",
             {.min = 64ull << 20, .max = 16ull << 40}),
      option(&s::high_water_percent, "hub.high_water_percent",
             "Part of map_bytes above which new messages are refused; the rest is for settling.", {.min = 10, .max = 99}),
      option(&s::disk_reserve_bytes, "hub.disk_reserve_bytes",
             "Free disk below which new messages are refused; settling goes on.", {.min = 1 << 20}),
      option(&s::journal_bytes, "hub.journal_bytes",
             "The store's journal at most: small commits are one sync there, instead of two in the store itself. 0: none.",
             {.max = 1 << 30}),
      option(&s::payload_cache_bytes, "hub.payload_cache_bytes", "Memory for events that are likely to be granted soon.", {}),
      option(
        &s::pace_messages, "hub.pace_messages",
        "While agents keep up, an enqueue of many events that finds more than these is answered up to 100 ms later. 0: at once.",
        {}),
      option(&s::huge_pages, "hub.huge_pages",
             "Memory in pages of 2 MiB, where the kernel leaves that to programs: faster with many messages, a few percent more "
             "memory.",
             {}),

      section<s>("hub.tls", "The hub's certificate. Needed, but for `sallyport hub --dev`."),
      option(&s::tls_cert_file, "hub.tls.cert_file", "Certificate and the chain up to its authority, PEM.",
             {.check = check_readable, .example = "\"/etc/sallyport/hub.crt\"", .usual = true}),
      option(&s::tls_key_file, "hub.tls.key_file", "The certificate's private key, PEM.",
             {.check = check_readable, .example = "\"/etc/sallyport/hub.key\"", .usual = true}),

      section<s>("hub.limits",
                 "What clients may ask of the hub at once. Beyond a limit they get a clear refusal, and nothing is stored."),
      option(of(&s::limits, &l::event, &event_limits::event_bytes), "hub.limits.event_bytes", "One event in its JSON form.",
             {.min = 256, .max = 64 << 20}),
      option(of(&s::limits, &l::event, &event_limits::events), "hub.limits.events", "Events in one batch.",
             {.min = 1, .max = 100'000}),
      option(of(&s::limits, &l::event, &event_limits::depth), "hub.limits.depth", "Nesting of objects and arrays in an event.",
             {.min = 2, .max = 512}),
      option(of(&s::limits, &l::head_bytes), "hub.limits.head_bytes", "Request line and header of one request.",
             {.min = 1 << 10, .max = 1 << 20}),
      option(of(&s::limits, &l::body_bytes), "hub.limits.body_bytes", "Body of one request.", {.min = 1 << 10, .max = 1 << 30}),
      option(of(&s::limits, &l::sockets), "hub.limits.sockets", "Open client connections.", {.min = 1}),
      option(of(&s::limits, &l::parked), "hub.limits.parked", "Claims and calls that wait at once.", {.min = 1}),
      option(of(&s::limits, &l::claim_messages), "hub.limits.claim_messages", "Messages granted to one claim.",
             {.min = 1, .max = 10'000}),
      option(of(&s::limits, &l::mailbox), "hub.limits.mailbox", "Requests that wait for the store.", {.min = 1}),
      option(of(&s::limits, &l::mailbox_bytes), "hub.limits.mailbox_bytes", "Memory for the bodies of those requests.",
             {.min = 1 << 20}),
      option(of(&s::limits, &l::request_timeout), "hub.limits.request_timeout_ms",
             "From the first byte of a request to its last.", {.min = 100ms, .max = 1h}),
      option(of(&s::limits, &l::idle_timeout), "hub.limits.idle_timeout_ms",
             "Between two requests on a connection that is kept open.", {.min = 1s, .max = 24h}),

      section<s>("hub.policy",
                 "What new queues start with; `PUT /v1/groups/GROUP/connections/CONNECTION` changes it for one of them."),
      option(of(&s::policy, &p::max_attempts), "hub.policy.max_attempts",
             "Failed attempts after which a message is a dead letter.", {.min = 1, .max = 1000}),
      option(of(&s::policy, &p::backoff_min), "hub.policy.backoff_min_ms",
             "Wait before the second attempt; doubles with each further one.", {.min = 1ms, .max = 24h}),
      option(of(&s::policy, &p::backoff_max), "hub.policy.backoff_max_ms", "Longest wait between attempts.",
             {.min = 1ms, .max = 24h * 30}),
      option(of(&s::policy, &p::attempt_timeout), "hub.policy.attempt_timeout_ms",
             "How long an agent works on a message before it gives up.", {.min = 10ms, .max = 24h}),
      option(of(&s::policy, &p::hold_limit), "hub.policy.hold_limit_ms",
             "How long an agent may hold a message before the hub takes it back. 0 means 15 minutes or ten attempt timeouts, "
             "whichever is longer.",
             {.max = 24h * 30}),
      option(of(&s::policy, &p::message_ttl), "hub.policy.message_ttl_ms", "A message older than this expires; 0 means never.",
             {.max = 24h * 366}),
      option(of(&s::policy, &p::max_in_flight), "hub.policy.max_in_flight",
             "Messages of the queue granted at once; 0 means no limit of its own.", {}),
      option(of(&s::policy, &p::max_messages), "hub.policy.max_messages",
             "Messages that may wait; 0 means as many as the store holds.", {}),
      option(of(&s::policy, &p::retention), "hub.policy.retention_ms",
             "How long a finished message is remembered, to recognise repeats and to explain it.", {.min = 1s, .max = 24h * 366}),
      option(of(&s::policy, &p::retention_count), "hub.policy.retention_count",
             "How many finished messages are remembered at most.", {}),
      option(of(&s::policy, &p::paused), "hub.policy.paused", "Whether a new queue keeps its messages until somebody resumes it.",
             {}),
      option(of(&s::policy, &p::dead), "hub.policy.on_dead", "What a dead letter does to later messages of its partition key.",
             {.words = {{"skip", wire::on_dead::skip}, {"block", wire::on_dead::block}}}),
      option(of(&s::policy, &p::unknown_effect), "hub.policy.on_unknown_effect", "After a failure that may have had its effect.",
             {.words = {{"retry", wire::on_unknown_effect::retry}, {"dead_letter", wire::on_unknown_effect::dead_letter}}}),
      option(of(&s::policy, &p::fingerprints), "hub.policy.fingerprints",
             "When agents of a group point one connection at different targets.",
             {.words = {{"warn", wire::fingerprint_policy::warn}, {"refuse", wire::fingerprint_policy::refuse}}}),
    });
  return table;
}

hub_settings read_hub(const node& root, fault_list& faults, bool dev) {
  hub_settings s;
  s.dev = dev;
  hub_options().read(s, root, faults);
  const auto fault = [&](std::string_view key, std::string what, std::string advice = {}) {
    faults.add(root.line_of(key), std::string(key), std::move(what), std::move(advice));
  };
  if (const auto* given = root.find_path("hub.data_dir"); s.data_dir.empty() && (!given || given->is(node::kind::text))) {
    if (const char* by_systemd = std::getenv("STATE_DIRECTORY"))
      s.data_dir = by_systemd;
    else
      fault("hub.data_dir", "is missing", "write data_dir = \"/var/lib/sallyport\"");
  }
  for (const std::string_view key : {"hub.tls.cert_file", "hub.tls.key_file"})
    if (!dev && !root.find_path(key))
      fault(key, "is missing", "give the hub a certificate, or run it with --dev");
  if (s.policy.backoff_min > s.policy.backoff_max)
    fault("hub.policy.backoff_min_ms", "is more than backoff_max_ms");
  if (s.policy.hold_limit > 0ms && s.policy.hold_limit < s.policy.attempt_timeout)
    fault("hub.policy.hold_limit_ms", "is less than attempt_timeout_ms",
          "the hub would take messages back while they are worked on");
  if (s.limits.event.event_bytes > s.limits.body_bytes)
    fault("hub.limits.event_bytes", "is more than body_bytes", "an event of that size could not be sent");
  return s;
}

} // namespace sallyport::config
