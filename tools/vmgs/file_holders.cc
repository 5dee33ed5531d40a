// SPDX-License-Identifier: Apache-2.0
#include "tools/vmgs/file_holders.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <fstream>

#include "tools/cli/terminal.h"

namespace tools::vmgs {

namespace fs = std::filesystem;

namespace {

bool is_number(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](unsigned char each) { return std::isdigit(each) != 0; });
}

bool has_open(const fs::path& process, const struct stat& wanted) {
  std::error_code ended;
  for (fs::directory_iterator each(process / "fd", ended), end; !ended && each != end;
       each.increment(ended)) {
    struct stat open {};

    if (::stat(each->path().c_str(), &open) == 0 && open.st_dev == wanted.st_dev &&
        open.st_ino == wanted.st_ino) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::vector<std::string> file_holders(const fs::path& path) {
  std::vector<std::string> holders;

  struct stat wanted {};

  if (::stat(path.c_str(), &wanted) != 0) {
    return holders;
  }
  const auto self = std::to_string(::getpid());
  std::error_code ended;
  for (fs::directory_iterator each("/proc", ended), end; !ended && each != end;
       each.increment(ended)) {
    const auto number = each->path().filename().string();
    if (!is_number(number) || number == self || !has_open(each->path(), wanted)) {
      continue;
    }
    std::string name;
    std::getline(std::ifstream(each->path() / "comm"), name);
    holders.push_back(cli::printable(name.empty() ? "a process" : name) + " (process " + number +
                      ")");
  }
  return holders;
}

}  // namespace tools::vmgs
