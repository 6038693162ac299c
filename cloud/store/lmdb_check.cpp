// Walks LMDB's pages by its file format (data version 1, lmdb 0.9), trusting no number before it has been compared.
#include "cloud/store/lmdb_files.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace sallyport::cloud::lmdb_files {
namespace {

static_assert(sizeof(void*) == 8, "page numbers are as wide as a pointer, and only the 64-bit layout is known here");

constexpr std::uint32_t data_magic = 0xBEEFC0DE;
constexpr std::uint32_t data_version = 1;
constexpr std::uint64_t no_page = ~std::uint64_t{0};
constexpr std::size_t header_bytes = 16;

enum page_flag : std::uint16_t { branch_page = 1, leaf_page = 2, overflow_page = 4, meta_page = 8 };
enum node_flag : std::uint16_t { big_data = 1, sub_tree = 2 };
constexpr std::uint16_t integer_keys = 8; // A tree flag. Only LMDB's free list has it; our trees have no flags.

struct page_header {
  std::uint64_t number;
  std::uint16_t pad;
  std::uint16_t flags;
  std::uint16_t lower; // Overflow pages keep their count in lower and upper together.
  std::uint16_t upper;
};
static_assert(sizeof(page_header) == header_bytes);

struct tree_record {
  std::uint32_t pad; // The page size, in the first record of a header page.
  std::uint16_t flags;
  std::uint16_t depth;
  std::uint64_t branch_pages;
  std::uint64_t leaf_pages;
  std::uint64_t overflow_pages;
  std::uint64_t entries;
  std::uint64_t root;
};
static_assert(sizeof(tree_record) == 48);

struct file_header {
  std::uint32_t magic;
  std::uint32_t version;
  std::uint64_t address;
  std::uint64_t map_bytes;
  tree_record free_tree;
  tree_record main_tree;
  std::uint64_t last_page;
  std::uint64_t transaction;
};
static_assert(sizeof(file_header) == 136);

template <class T>
T read_as(const std::vector<char>& bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

class checker {
public:
  checker(const std::filesystem::path& file, int fd, std::uint64_t file_bytes) : file_(file), fd_(fd), file_bytes_(file_bytes) {}

  result<void> run() {
    auto first = read_header(0, 0);
    if (!first)
      return first.err();
    page_bytes_ = first->free_tree.pad;
    if (page_bytes_ < 512 || page_bytes_ > 32768 || (page_bytes_ & (page_bytes_ - 1)) != 0)
      return damaged(0, "its header gives a page size of " + std::to_string(page_bytes_));
    auto second = read_header(1, page_bytes_);
    if (!second)
      return second.err();
    const auto& newest = first->transaction >= second->transaction ? *first : *second;
    last_page_ = newest.last_page;
    // The store sizes its file before it commits, so a page that is spoken of is there, or was cut off.
    if (last_page_ >= file_bytes_ / page_bytes_)
      return {errc::store_damaged, file_.string() + " has been cut off: it ends at byte " + std::to_string(file_bytes_)
                                     + ", its header speaks of " + std::to_string((last_page_ + 1) * page_bytes_)};
    claimed_.assign(last_page_ + 1, false);
    std::vector<named_tree> trees;
    // The header keeps the environment's flags in the upper bits of the free list's.
    if ((newest.free_tree.flags & 0xff) != integer_keys || newest.main_tree.flags != 0)
      return damaged(0, "its trees are of a kind that is not ours");
    if (auto free = check_tree(newest.free_tree, {reach::free_list, nullptr, {}}); !free)
      return free;
    if (auto main = check_tree(newest.main_tree, {reach::all_pages, &trees, {}}); !main)
      return main;
    for (const auto& tree : trees) {
      if (tree.record.flags != 0)
        return damaged(newest.main_tree.root, "its tree " + tree.name + " is of a kind that is not ours");
      // Payload leaves are only read when fetched: a restart must not need the payloads.
      const bool payloads = tree.name == "content" || tree.name == "chunks";
      if (auto named = check_tree(tree.record, {payloads ? reach::inner_pages : reach::all_pages, nullptr, {}}); !named)
        return named;
    }
    return {};
  }

private:
  enum class reach { free_list, all_pages, inner_pages };
  struct named_tree {
    std::string name;
    tree_record record;
  };
  struct walk {
    reach how_far;
    std::vector<named_tree>* trees; // Where trees within this one are collected; null where none may be.
    tree_record seen;
  };

  error damaged(std::uint64_t page, const std::string& what) const {
    return make_error(errc::store_damaged, file_.string() + " is damaged at page " + std::to_string(page) + ": " + what);
  }

  result<std::vector<char>> read_bytes(std::uint64_t at, std::size_t size) const {
    std::vector<char> bytes(size);
    std::size_t done = 0;
    while (done < size) {
      const auto got = ::pread(fd_, bytes.data() + done, size - done, static_cast<off_t>(at + done));
      if (got < 0 && errno == EINTR)
        continue;
      if (got < 0)
        return io_error("read byte " + std::to_string(at + done) + " of", file_, errno);
      if (got == 0)
        return {errc::store_damaged, file_.string() + " has been cut off: it ends at byte " + std::to_string(at + done)};
      done += static_cast<std::size_t>(got);
    }
    return bytes;
  }

  result<file_header> read_header(std::uint64_t number, std::uint64_t at) const {
    auto bytes = read_bytes(at, header_bytes + sizeof(file_header));
    if (!bytes)
      return bytes.err();
    const auto page = read_as<page_header>(*bytes, 0);
    const auto header = read_as<file_header>(*bytes, header_bytes);
    if ((page.flags & meta_page) == 0 || header.magic != data_magic)
      return damaged(number, "this is not a store (its header page is not one of LMDB's)");
    if (header.version != data_version)
      return make_error(header.version > data_version ? errc::store_newer : errc::store_damaged,
                        file_.string() + " is in LMDB format " + std::to_string(header.version) + "; this program reads format "
                          + std::to_string(data_version));
    return header;
  }

  result<void> check_tree(const tree_record& tree, walk w) {
    if (tree.root == no_page)
      return {};
    if (tree.depth == 0 || tree.depth > 32)
      return damaged(tree.root, "its tree claims a depth of " + std::to_string(tree.depth));
    if (auto below = check_page(tree.root, tree.depth, w); !below)
      return below;
    const bool all = w.how_far != reach::inner_pages;
    if (w.seen.branch_pages != tree.branch_pages || w.seen.leaf_pages != tree.leaf_pages
        || (all && (w.seen.overflow_pages != tree.overflow_pages || w.seen.entries != tree.entries)))
      return damaged(tree.root, "its tree does not have as many pages or entries as its record says");
    return {};
  }

  // A page belongs to one tree, or is free.
  result<void> claim(std::uint64_t number) {
    if (number < 2 || number > last_page_)
      return damaged(number, "something refers to it, but the pages end at " + std::to_string(last_page_));
    if (claimed_[number])
      return damaged(number, "two things refer to it");
    claimed_[number] = true;
    return {};
  }

  // `height` is 1 for a leaf. The recursion is as deep as the tree.
  result<void> check_page(std::uint64_t number, unsigned height, walk& w) {
    if (auto claimed = claim(number); !claimed)
      return claimed;
    ++(height == 1 ? w.seen.leaf_pages : w.seen.branch_pages);
    if (height == 1 && w.how_far == reach::inner_pages)
      return {};
    auto bytes = read_bytes(number * page_bytes_, page_bytes_);
    if (!bytes)
      return bytes.err();
    const auto page = read_as<page_header>(*bytes, 0);
    const auto wanted = height == 1 ? leaf_page : branch_page;
    if (page.number != number || page.flags != wanted)
      return damaged(number, "it is not the page that belongs there");
    if (page.lower < header_bytes || page.lower % 2 != 0 || page.lower > page.upper || page.upper > page_bytes_)
      return damaged(number, "its bounds contradict each other");
    const auto count = (page.lower - header_bytes) / 2;
    if (height > 1 && count < 2)
      return damaged(number, "an inner page has fewer than two children");

    std::string_view before;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t at = read_as<std::uint16_t>(*bytes, header_bytes + 2 * i);
      if (at < page.upper || at + 8 > page_bytes_)
        return damaged(number, "entry " + std::to_string(i) + " lies outside");
      const auto low = read_as<std::uint16_t>(*bytes, at);
      const auto high = read_as<std::uint16_t>(*bytes, at + 2);
      const auto flags = read_as<std::uint16_t>(*bytes, at + 4);
      const std::size_t key_bytes = read_as<std::uint16_t>(*bytes, at + 6);
      const std::size_t data_at = at + 8 + key_bytes;
      if (data_at > page_bytes_)
        return damaged(number, "the key of entry " + std::to_string(i) + " lies outside");
      const std::string_view key{bytes->data() + at + 8, key_bytes};
      // The free list's keys are native integers, and the first key of an inner page is not stored.
      if (w.how_far != reach::free_list && i > (height > 1 ? 1u : 0u) && key <= before)
        return damaged(number, "its keys are not in order");
      before = key;

      if (height > 1) {
        const auto child =
          static_cast<std::uint64_t>(low) | static_cast<std::uint64_t>(high) << 16 | static_cast<std::uint64_t>(flags) << 32;
        if (auto below = check_page(child, height - 1, w); !below)
          return below;
        continue;
      }
      ++w.seen.entries;
      const auto data_bytes = static_cast<std::uint64_t>(low) | static_cast<std::uint64_t>(high) << 16;
      if (flags == big_data) {
        if (data_at + 8 > page_bytes_)
          return damaged(number, "entry " + std::to_string(i) + " lies outside");
        if (auto big = check_overflow(read_as<std::uint64_t>(*bytes, data_at), data_bytes, w); !big)
          return big;
      } else if (data_at + data_bytes > page_bytes_) {
        return damaged(number, "the value of entry " + std::to_string(i) + " lies outside");
      } else if (flags == sub_tree && w.trees && data_bytes == sizeof(tree_record)) {
        w.trees->push_back({std::string{key}, read_as<tree_record>(*bytes, data_at)});
      } else if (flags != 0) {
        return damaged(number, "entry " + std::to_string(i) + " is of a kind that does not belong there");
      } else if (w.how_far == reach::free_list) {
        if (auto list = check_free(number, *bytes, data_at, data_bytes); !list)
          return list;
      }
    }
    return {};
  }

  result<void> check_overflow(std::uint64_t number, std::uint64_t data_bytes, walk& w) {
    const auto pages = (header_bytes + data_bytes + page_bytes_ - 1) / page_bytes_;
    if (number < 2 || number > last_page_ || pages > last_page_ - number + 1)
      return damaged(number, "a long value begins here, but the pages end at " + std::to_string(last_page_));
    auto bytes = read_bytes(number * page_bytes_, w.how_far == reach::free_list ? header_bytes + data_bytes : header_bytes);
    if (!bytes)
      return bytes.err();
    const auto page = read_as<page_header>(*bytes, 0);
    const auto stored = static_cast<std::uint64_t>(page.lower) | static_cast<std::uint64_t>(page.upper) << 16;
    if (page.number != number || page.flags != overflow_page || stored < pages || stored > last_page_ - number + 1)
      return damaged(number, "it is not the long value that belongs there");
    w.seen.overflow_pages += stored;
    for (auto i = number; i < number + stored; ++i)
      if (auto claimed = claim(i); !claimed)
        return claimed;
    return w.how_far == reach::free_list ? check_free(number, *bytes, header_bytes, data_bytes) : result<void>{};
  }

  // A count and so many page numbers, which LMDB will hand out without a look.
  result<void> check_free(std::uint64_t page, const std::vector<char>& bytes, std::size_t at, std::uint64_t size) {
    const auto count = size >= 8 ? read_as<std::uint64_t>(bytes, at) : no_page;
    if (count > size / 8 - 1)
      return damaged(page, "its list of free pages is longer than its place");
    auto above = no_page;
    for (std::uint64_t i = 1; i <= count; ++i) {
      const auto number = read_as<std::uint64_t>(bytes, at + 8 * i);
      if (number >= above)
        return damaged(page, "its list of free pages is not in order");
      if (auto claimed = claim(number); !claimed)
        return claimed;
      above = number;
    }
    return {};
  }

  const std::filesystem::path& file_;
  int fd_;
  std::uint64_t file_bytes_;
  std::uint64_t page_bytes_ = 0;
  std::uint64_t last_page_ = 0;
  std::vector<bool> claimed_;
};

} // namespace

result<void> check_file(const std::filesystem::path& file) {
  const file_handle handle{::open(file.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!handle)
    return io_error("open", file, errno);
  struct stat facts {};
  if (::fstat(handle.get(), &facts) != 0)
    return io_error("examine", file, errno);
  if (!S_ISREG(facts.st_mode))
    return {errc::store_damaged, file.string() + " is not a regular file"};
  return checker{file, handle.get(), static_cast<std::uint64_t>(facts.st_size)}.run();
}

} // namespace sallyport::cloud::lmdb_files
