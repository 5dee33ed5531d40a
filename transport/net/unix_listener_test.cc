// SPDX-License-Identifier: Apache-2.0
#include "transport/net/unix_listener.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstdio>
#include <fstream>
#include <optional>
#include <string>

#include "tests/support/error_code.h"
#include "tests/support/socket_client.h"
#include "tests/support/temp_folder.h"

namespace transport::net {
namespace {

using base::ErrorCode;
using tests::support::error_code;
using tests::support::SocketClient;
using tests::support::TempFolder;

TEST(UnixListenerTest, ListensForItsOwnerOnlyAndCleansUp) {
  const TempFolder folder;
  const auto path = folder / "socket";
  {
    const auto listener = UnixListener::bind(path);
    ASSERT_TRUE(listener) << listener.error().message;

    struct stat found {};

    ASSERT_EQ(::stat(path.c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777, 0600U);
    SocketClient::connect(path);
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(UnixListenerTest, KnowsBeforehandWhatCannotBeBound) {
  const TempFolder folder;
  const auto path = folder / "socket";

  EXPECT_TRUE(UnixListener::expect_bindable(path));
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_EQ(error_code(UnixListener::expect_bindable(folder / "none" / "socket")), ErrorCode::kIo);
  EXPECT_EQ(error_code(UnixListener::expect_bindable(folder / std::string(200, 's'))),
            ErrorCode::kInvalidArgument);
  std::ofstream(folder / "file") << "no socket";
  EXPECT_EQ(error_code(UnixListener::expect_bindable(folder / "file")), ErrorCode::kDenied);
  const auto listener = UnixListener::bind(path);
  EXPECT_EQ(error_code(UnixListener::expect_bindable(path)), ErrorCode::kUnavailable);
}

TEST(UnixListenerTest, RemovesThePathThoughItsSocketWasGivenAway) {
  const TempFolder folder;
  const auto path = folder / "socket";
  auto listener = std::optional(*UnixListener::bind(path));
  const auto socket = listener->release();
  SocketClient::connect(path);

  listener.reset();

  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(UnixListenerTest, ReplacesTheSocketOfADeadProcess) {
  const TempFolder folder;
  const auto path = folder / "socket";
  auto dead = std::optional(*UnixListener::bind(path));
  std::filesystem::create_hard_link(path, folder / "kept");
  dead.reset();
  std::filesystem::rename(folder / "kept", path);

  EXPECT_TRUE(UnixListener::bind(path));
}

TEST(UnixListenerTest, LeavesALivingOneAlone) {
  const TempFolder folder;
  const auto path = folder / "socket";
  const auto first = UnixListener::bind(path);

  EXPECT_EQ(error_code(UnixListener::bind(path)), ErrorCode::kUnavailable);
  SocketClient::connect(path);
}

TEST(UnixListenerTest, LeavesASocketOfAnotherTypeAlone) {
  const TempFolder folder;
  const auto path = folder / "socket";
  const base::Descriptor datagram(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path.c_str());
  ASSERT_EQ(::bind(datagram.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
            0);

  EXPECT_EQ(error_code(UnixListener::bind(path)), ErrorCode::kIo);
  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST(UnixListenerTest, LeavesWhatIsNoSocketAlone) {
  const TempFolder folder;
  const auto path = folder / "file";
  std::ofstream(path) << "precious";

  EXPECT_EQ(error_code(UnixListener::bind(path)), ErrorCode::kDenied);
  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST(UnixListenerTest, RefusesAPathThatNoSocketCanHave) {
  const TempFolder folder;

  EXPECT_EQ(error_code(UnixListener::bind(folder / std::string(120, 'x'))),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(UnixListener::bind("")), ErrorCode::kInvalidArgument);
}

TEST(UnixListenerTest, SaysSoWhereTheFolderIsMissing) {
  const TempFolder folder;

  EXPECT_EQ(error_code(UnixListener::bind(folder / "none" / "socket")), ErrorCode::kIo);
}

TEST(UnixListenerTest, TakesThePlaceOfASocketThatSomebodyListensOn) {
  const TempFolder folder;
  const auto path = folder / "socket";
  auto old = UnixListener::bind(path);
  ASSERT_TRUE(old);
  // The old one's owner is gone in all but its socket, as after a fork.
  const auto kept = old->release();
  std::filesystem::create_hard_link(path, folder / "old");

  const auto listener = UnixListener::replace(path, std::nullopt);

  ASSERT_TRUE(listener) << listener.error().message;
  SocketClient::connect(path);
  const base::Descriptor accepted(::accept4(listener->number(), nullptr, nullptr, SOCK_NONBLOCK));
  EXPECT_TRUE(accepted.is_open());
}

TEST(UnixListenerTest, LetsAGroupInOnlyIfToldTo) {
  const TempFolder folder;
  const auto closed = UnixListener::replace(folder / "closed", std::nullopt);
  const auto open = UnixListener::replace(folder / "open", ::getgid());

  struct stat found {};

  ASSERT_EQ(::stat((folder / "closed").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600U);
  ASSERT_EQ(::stat((folder / "open").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0660U);
  EXPECT_EQ(found.st_gid, ::getgid());
}

TEST(UnixListenerTest, ReplacesNothingButASocket) {
  const TempFolder folder;
  const auto path = folder / "file";
  std::ofstream(path) << "content";

  EXPECT_EQ(error_code(UnixListener::replace(path, std::nullopt)), ErrorCode::kDenied);
  EXPECT_TRUE(std::filesystem::is_regular_file(path));
}

}  // namespace
}  // namespace transport::net
