#include "cli/huge_pages.hpp"

#if __has_include(<jemalloc/jemalloc.h>)
#include <jemalloc/jemalloc.h>
#pragma weak mallctl // Programs with sanitizers, and others without jemalloc, do not have it.

#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <fstream>
#include <string>

namespace sallyport::cli {

namespace {

constexpr std::size_t page_bytes = std::size_t{2} << 20;
std::atomic<std::size_t> grown{0}; // Of address space; jemalloc gives none back.
constexpr std::size_t small_at_first = std::size_t{32} << 20;

extent_hooks_t usual, ours; // Where arenas get their memory from, without and with huge pages. They stay for ever, as arenas do.

void* grow(extent_hooks_t*, void* at, std::size_t bytes, std::size_t alignment, bool* zero, bool* commit, unsigned arena) {
  void* const memory = usual.alloc(&usual, at, bytes, alignment, zero, commit, arena);
  if (memory && grown.fetch_add(bytes) >= small_at_first && bytes >= page_bytes)
    (void)madvise(memory, bytes, MADV_HUGEPAGE); // Refused: small pages, as ever.
  return memory;
}

template <class T>
bool read(const char* name, T& value) {
  std::size_t size = sizeof value;
  return mallctl(name, &value, &size, nullptr, 0) == 0;
}

bool kernel_leaves_the_choice() {
  std::string words;
  std::getline(std::ifstream{"/sys/kernel/mm/transparent_hugepage/enabled"}, words);
  return words.find("[madvise]") != std::string::npos;
}

} // namespace

bool prefer_huge_pages() {
  extent_hooks_t* first = nullptr;
  unsigned arenas = 0;
  if (!mallctl || !kernel_leaves_the_choice() || !read("arena.0.extent_hooks", first) || !read("arenas.narenas", arenas))
    return false;
  usual = ours = *first;
  ours.alloc = grow;
  bool all = true;
  for (unsigned i = 0; i < arenas; ++i) {
    auto* hooks = &ours;
    all &= mallctl(("arena." + std::to_string(i) + ".extent_hooks").c_str(), nullptr, nullptr, &hooks, sizeof hooks) == 0;
  }
  return all;
}

} // namespace sallyport::cli

#else

namespace sallyport::cli {

bool prefer_huge_pages() {
  return false;
}

} // namespace sallyport::cli

#endif
