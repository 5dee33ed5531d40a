// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/routes.h"

#include <gtest/gtest.h>

namespace transport::rpc {
namespace {

namespace http = boost::beast::http;

RouteHandler nothing() {
  return [](RouteRequest) -> asio::awaitable<RouteAnswer> { co_return RouteAnswer{}; };
}

TEST(RoutesTest, APathIsItselfAndNothingBelowIt) {
  Routes routes;
  routes.get("/livez", nothing());
  EXPECT_NE(routes.find(http::verb::get, "/livez"), nullptr);
  EXPECT_EQ(routes.find(http::verb::post, "/livez"), nullptr);
  EXPECT_EQ(routes.allowed("/livez"), "GET");
  for (const auto* path : {"/livez/", "/livez/more", "/live", "livez", "/", ""}) {
    EXPECT_EQ(routes.find(http::verb::get, path), nullptr) << path;
    EXPECT_EQ(routes.allowed(path), "") << path;
  }
}

TEST(RoutesTest, APathThatEndsInASlashIsForAllBelowIt) {
  Routes routes;
  routes.post("/keys/", nothing());
  routes.get("/keys/list", nothing());
  for (const auto* path : {"/keys/", "/keys/disk/release", "/keys/disk/1/release", "/keys//"}) {
    EXPECT_NE(routes.find(http::verb::post, path), nullptr) << path;
    EXPECT_EQ(routes.allowed(path), "POST") << path;
  }
  EXPECT_EQ(routes.allowed("/keys/list"), "GET");
  EXPECT_EQ(routes.find(http::verb::post, "/keys/list"), nullptr);
  EXPECT_EQ(routes.find(http::verb::post, "/keys"), nullptr);
  EXPECT_EQ(routes.find(http::verb::post, "/other/keys/"), nullptr);
}

TEST(RoutesTest, ARouteWithoutRolesIsForEveryone) {
  Routes routes;
  routes.post("/open", nothing());
  routes.post("/closed", {tls::Role::kOperator}, nothing());
  EXPECT_TRUE(routes.find(http::verb::post, "/open")->for_everyone);
  EXPECT_FALSE(routes.find(http::verb::post, "/closed")->for_everyone);
}

}  // namespace
}  // namespace transport::rpc
