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

void Routes::post(std::string path, RouteHandler handler) {
  enter(http::verb::post, std::move(path), {std::move(handler), true, {}});
}

void Routes::post(std::string path, Roles roles, RouteHandler handler) {
  enter(http::verb::post, std::move(path), {std::move(handler), false, std::move(roles)});
}

const Route* Routes::find(http::verb verb, std::string_view path) const {
  const auto* verbs = at(path);
  if (verbs == nullptr) {
    return nullptr;
  }
  const auto found = verbs->find(verb);
  return found == verbs->end() ? nullptr : &found->second;
}

std::string Routes::allowed(std::string_view path) const {
  std::string names;
  if (const auto* verbs = at(path); verbs != nullptr) {
    for (const auto& [verb, route] : *verbs) {
      names += (names.empty() ? "" : ", ") + std::string(http::to_string(verb));
    }
  }
  return names;
}

const Routes::Verbs* Routes::at(std::string_view path) const {
  if (const auto found = by_path_.find(path); found != by_path_.end()) {
    return &found->second;
  }
  for (auto slash = path.rfind('/'); slash != std::string_view::npos;
       slash = slash == 0 ? std::string_view::npos : path.rfind('/', slash - 1)) {
    if (const auto found = by_path_.find(path.substr(0, slash + 1)); found != by_path_.end()) {
      return &found->second;
    }
  }
  return nullptr;
}

void Routes::enter(http::verb verb, std::string path, Route route) {
  if (!by_path_[path].emplace(verb, std::move(route)).second) {
    std::fprintf(stderr, "table of routes: %s was entered twice\n", path.c_str());
    std::abort();
  }
}

}  // namespace transport::rpc
