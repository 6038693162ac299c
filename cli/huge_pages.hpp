// The heap of a process that keeps much in memory, in pages of 2 MiB where the kernel leaves the choice to programs.
#pragma once

namespace sallyport::cli {

/// From now on the kernel is asked for huge pages under what the heap grows by, its first 32 MiB aside: a small hub stays small. What is
/// given up for it is a few percent more memory (ADR 0022). To be called once, before the process has other threads.
///
/// False, and nothing is changed: the program runs without jemalloc, or the kernel has no such pages, or gives them to everybody anyway.
bool prefer_huge_pages();

} // namespace sallyport::cli
