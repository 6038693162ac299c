#include "adapters/file/options.hpp"

namespace sallyport::adapters::file {

const config::options_of<settings>& options() {
  using s = settings;
  using config::option;
  static const config::options_of<settings> table(
    "connection.file",
    {
      config::section<s>("connection.file",
                         "Writes, reads, lists, moves and deletes files below one directory, and nothing outside it. A file is "
                         "replaced whole, so doing it twice leaves the same file: the effect is idempotent."),
      option(&s::root, "connection.file.root", "The directory, absolute; it must exist.",
             {.required = true, .example = "\"/srv/exchange\""}),
      option(&s::operations, "connection.file.operations", "What events may do."),
      option(&s::write_path, "connection.file.write_path",
             "When set, every event is written to this path, made of {id} {source} {type} {subject} {message} or {data.member}. "
             "Without it the "
             "event's data says what to do.",
             {.example = "\"orders/{type}/{id}.json\""}),
      option(&s::make_directories, "connection.file.make_directories", "Make the missing directories of a path."),
      option(&s::bytes_max, "connection.file.bytes_max", "Largest file that is written.", {.min = std::uint64_t{1}}),
      option(&s::mode, "connection.file.mode", "Rights of new files, octal."),
      option(&s::workers, "connection.file.workers", "Operations at once.", {.min = std::size_t{1}, .max = std::size_t{64}}),
    });
  return table;
}

} // namespace sallyport::adapters::file
