// The binary `sallyport`.
#include "cli/commands.hpp"

int main(int argc, char** argv) {
  return sallyport::cli::run(argc, argv, sallyport::cli::adapter_kinds::builtin());
}
