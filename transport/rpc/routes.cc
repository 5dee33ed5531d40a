// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/routes.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace transport::rpc {

namespace http = boost::beast::http;

void Routes::get(std::string path, RouteHandler handler) {
  enter(http::verb::get, std::move(path), {std::move(handler), true, {}});
}

void Routes::get(std::string path, Roles roles, RouteHandler handler) {
  enter(http::verb::get, std::move(path), {std::move(handler), false, std::move(roles)});
}

void Routes::post(std::string path, Roles roles, RouteHandler handler) {
  enter(http::verb::post, std::move(path), {std::move(handler), false, std::move(roles)});
}

const Route* Routes::find(http::verb verb, std::string_view path) const {
  const auto at_path = by_path_.find(path);
  if (at_path == by_path_.end()) {
    return nullptr;
  }
  const auto found = at_path->second.find(verb);
  return found == at_path->second.end() ? nullptr : &found->second;
}

std::string Routes::allowed(std::string_view path) const {
  std::string verbs;
  if (const auto at_path = by_path_.find(path); at_path != by_path_.end()) {
    for (const auto& [verb, route] : at_path->second) {
      verbs += (verbs.empty() ? "" : ", ") + std::string(http::to_string(verb));
    }
  }
  return verbs;
}

void Routes::enter(http::verb verb, std::string path, Route route) {
  if (!by_path_[path].emplace(verb, std::move(route)).second) {
    std::fprintf(stderr, "table of routes: %s was entered twice\n", path.c_str());
    std::abort();
  }
}

}  // namespace transport::rpc
