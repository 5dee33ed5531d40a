// SPDX-License-Identifier: Apache-2.0
#include "vtpm/handover/estate.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

namespace vtpm::handover {
namespace {

using base::ErrorCode;

base::SecretBytes secret(const std::string& text) {
  return base::SecretBytes::taking(base::copy_of(base::bytes_of(text)));
}

std::string text_of(const base::SecretBytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.expose().data()), bytes.size()};
}

// A pipe whose reading end says which descriptor this is.
base::Descriptor descriptor(char content) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  EXPECT_EQ(::write(ends[1], &content, 1), 1);
  ::close(ends[1]);
  return base::Descriptor(ends[0]);
}

char content_of(const base::Descriptor& pipe) {
  char content = 0;
  EXPECT_EQ(::read(pipe.number(), &content, 1), 1);
  return content;
}

Estate full_estate() {
  Estate estate;
  estate.stopped_at = std::chrono::steady_clock::time_point(std::chrono::nanoseconds(123'456'789));
  estate.tpm.powered = true;
  estate.tpm.platform_has_power = true;
  estate.tpm.locality = 3;
  estate.tpm.buffer_bytes = 3968;
  estate.tpm.last_command = protocol::CommandCode::kShutdown;
  estate.tpm.locked_out = true;
  estate.tpm.permanent = secret("permanent");
  estate.tpm.volatile_state = secret("volatile");
  estate.vm_id.bytes.fill(std::byte{7});
  estate.boot_id.fill(std::byte{8});
  estate.store = boot::StateStore::HandedOver{.file = descriptor('s'),
                                              .header_sequence = 42,
                                              .vm_id = estate.vm_id,
                                              .boot_id = estate.boot_id};
  estate.memory_permanent = secret("m");
  estate.memory_flash = secret("flash");
  estate.flash_client =
      FlashClient{.socket = descriptor('f'), .unused = secret("asked"), .unsent = secret("answer")};
  estate.index_password = secret("password");
  estate.attestation.set_readiness("ready");
  estate.decision = descriptor('e');
  estate.lease = descriptor('l');
  estate.door = descriptor('d');
  estate.control_clients.push_back({.socket = descriptor('c'),
                                    .owns_data_channel = true,
                                    .padding_owed = 3,
                                    .unused = secret("xy")});
  estate.data_channels.push_back(
      {.socket = descriptor('p'), .passed = true, .part = secret("part")});
  estate.data_channels.push_back({.socket = descriptor('q'), .passed = false, .part = {}});
  return estate;
}

TEST(EstateTest, ComesOutAsItWentIn) {
  auto estate = unpack(pack(full_estate()));

  ASSERT_TRUE(estate) << estate.error().message;
  EXPECT_EQ(estate->stopped_at.time_since_epoch(), std::chrono::nanoseconds(123'456'789));
  EXPECT_TRUE(estate->tpm.powered);
  EXPECT_TRUE(estate->tpm.platform_has_power);
  EXPECT_EQ(estate->tpm.locality, 3);
  EXPECT_EQ(estate->tpm.buffer_bytes, 3968U);
  EXPECT_EQ(estate->tpm.last_command, protocol::CommandCode::kShutdown);
  EXPECT_TRUE(estate->tpm.locked_out);
  EXPECT_EQ(text_of(estate->tpm.permanent), "permanent");
  EXPECT_EQ(text_of(estate->tpm.volatile_state), "volatile");
  ASSERT_TRUE(estate->store);
  EXPECT_EQ(estate->store->header_sequence, 42U);
  EXPECT_EQ(estate->store->vm_id, full_estate().vm_id);
  EXPECT_EQ(estate->store->boot_id, full_estate().boot_id);
  EXPECT_EQ(content_of(estate->store->file), 's');
  EXPECT_EQ(estate->vm_id, full_estate().vm_id);
  EXPECT_EQ(text_of(estate->memory_permanent), "m");
  EXPECT_EQ(text_of(estate->memory_volatile), "");
  EXPECT_EQ(text_of(estate->memory_flash), "flash");
  ASSERT_TRUE(estate->flash_client);
  EXPECT_EQ(content_of(estate->flash_client->socket), 'f');
  EXPECT_EQ(text_of(estate->flash_client->unused), "asked");
  EXPECT_EQ(text_of(estate->flash_client->unsent), "answer");
  EXPECT_EQ(text_of(estate->index_password), "password");
  EXPECT_EQ(estate->attestation.readiness(), "ready");
  EXPECT_EQ(content_of(estate->decision), 'e');
  EXPECT_EQ(content_of(estate->lease), 'l');
  EXPECT_EQ(content_of(estate->door), 'd');
  ASSERT_EQ(estate->control_clients.size(), 1U);
  EXPECT_EQ(content_of(estate->control_clients[0].socket), 'c');
  EXPECT_TRUE(estate->control_clients[0].owns_data_channel);
  EXPECT_EQ(estate->control_clients[0].padding_owed, 3U);
  EXPECT_EQ(text_of(estate->control_clients[0].unused), "xy");
  ASSERT_EQ(estate->data_channels.size(), 2U);
  EXPECT_EQ(content_of(estate->data_channels[0].socket), 'p');
  EXPECT_TRUE(estate->data_channels[0].passed);
  EXPECT_EQ(text_of(estate->data_channels[0].part), "part");
  EXPECT_FALSE(estate->data_channels[1].passed);
}

TEST(EstateTest, HasNoStoreWhereTheTpmIsKeptInMemory) {
  auto ephemeral = full_estate();
  ephemeral.store.reset();

  const auto estate = unpack(pack(std::move(ephemeral)));

  ASSERT_TRUE(estate) << estate.error().message;
  EXPECT_FALSE(estate->store);
  EXPECT_EQ(content_of(estate->lease), 'l');
  EXPECT_EQ(content_of(estate->data_channels[1].socket), 'q');
}

TEST(EstateTest, HasNoClientOfTheFlashWhereNobodyUsesIt) {
  auto unused = full_estate();
  unused.flash_client.reset();

  const auto estate = unpack(pack(std::move(unused)));

  ASSERT_TRUE(estate) << estate.error().message;
  EXPECT_FALSE(estate->flash_client);
  EXPECT_EQ(content_of(estate->control_clients[0].socket), 'c');
}

TEST(EstateTest, IsLeftAloneInAnotherVersion) {
  auto parcel = pack(full_estate());
  parcel.message.mutable_estate()->set_version(2);

  EXPECT_EQ(unpack(std::move(parcel)).error().code, ErrorCode::kUnavailable);
}

TEST(EstateTest, IsRefusedWhenSomethingOfItIsMissing) {
  auto without_descriptor = pack(full_estate());
  without_descriptor.descriptors.pop_back();
  auto without_secret = pack(full_estate());
  without_secret.message.mutable_estate()->mutable_secret_bytes()->RemoveLast();
  auto cut_short = pack(full_estate());
  cut_short.secrets = base::SecretBytes(cut_short.secrets.size() - 1);
  auto too_long = pack(full_estate());
  too_long.secrets = base::SecretBytes(too_long.secrets.size() + 1);
  auto bad_id = pack(full_estate());
  bad_id.message.mutable_estate()->set_vm_id("short");
  auto bad_locality = pack(full_estate());
  bad_locality.message.mutable_estate()->set_locality(256);

  for (auto* parcel :
       {&without_descriptor, &without_secret, &cut_short, &too_long, &bad_id, &bad_locality}) {
    const auto estate = unpack(std::move(*parcel));
    ASSERT_FALSE(estate);
    EXPECT_EQ(estate.error().code, ErrorCode::kCorrupt) << estate.error().message;
  }
  EXPECT_EQ(unpack(Parcel()).error().code, ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace vtpm::handover
