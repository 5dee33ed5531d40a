// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/beast/http/verb.hpp>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "transport/rpc/method_roles.h"
#include "transport/rpc/peer.h"

namespace transport::rpc {

namespace asio = boost::asio;

// What a route is asked. The body is at most as long as a call's.
struct RouteRequest {
  std::string path;   // as it came, escapes and all
  std::string query;  // what follows '?', as it came
  std::string content_type;
  std::string body;
  Peer peer;
};

struct RouteAnswer {
  unsigned status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// As with calls, a handler takes what it gets by value and is cancelled at the deadline of a call
// that names none, when the caller hangs up or when the server stops.
using RouteHandler = std::function<asio::awaitable<RouteAnswer>(RouteRequest)>;

// Who may ask at a route: whoever the listener lets in, or the owners of certificates of these
// roles.
struct Route {
  RouteHandler handler;
  bool for_everyone = false;
  Roles roles;
};

// Routes is the table of what is served beside calls at plain paths: health, metrics, small REST
// faces. A GET is answered even while the server sheds load, since who watches it needs it then. It
// is filled before the server starts and then only read.
class Routes {
 public:
  // A path is as it stands in a URL, "/livez"; one that ends in a slash, "/keys/", is for all below
  // it that have no longer one. That none is entered twice is asserted. Without roles it is for
  // whoever the listener lets in.
  void get(std::string path, RouteHandler handler);
  void get(std::string path, Roles roles, RouteHandler handler);
  void post(std::string path, RouteHandler handler);
  void post(std::string path, Roles roles, RouteHandler handler);

  // find() is the route for a path and an HTTP method, or null.
  [[nodiscard]] const Route* find(boost::beast::http::verb verb, std::string_view path) const;

  // allowed() names the HTTP methods at a path, "GET, POST"; empty if there is no such path.
  [[nodiscard]] std::string allowed(std::string_view path) const;

 private:
  using Verbs = std::map<boost::beast::http::verb, Route>;

  void enter(boost::beast::http::verb verb, std::string path, Route route);
  [[nodiscard]] const Verbs* at(std::string_view path) const;

  std::map<std::string, Verbs, std::less<>> by_path_;
};

}  // namespace transport::rpc
