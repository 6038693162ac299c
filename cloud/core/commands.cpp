#include "cloud/core/commands.hpp"

#include <algorithm>

namespace sallyport::cloud {

bool group_scope::covers(const group_name& group) const {
  return all || std::find(groups.begin(), groups.end(), group) != groups.end();
}

} // namespace sallyport::cloud
