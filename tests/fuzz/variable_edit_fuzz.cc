// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "vmgs/uefi/variable_store.h"

using namespace vmgs::uefi;

namespace {

// What firmware finds, by name, but for the one that is edited.
std::vector<Variable> others(const VariableStore& store, const Variable& edited) {
  auto found = store.variables();
  std::erase_if(found, [&](const Variable& each) {
    return each.vendor == edited.vendor && each.name == edited.name;
  });
  return found;
}

bool is_same(const std::vector<Variable>& a, const std::vector<Variable>& b) {
  return std::ranges::equal(a, b, [](const Variable& x, const Variable& y) {
    return x.vendor == y.vendor && x.name == y.name && x.attributes == y.attributes &&
           x.timestamp == y.timestamp && x.data == y.data;
  });
}

// An edit changes one variable, and no other reader finds anything else changed.
void edit(StoreForm form, base::ByteView bytes) {
  auto store = VariableStore::open(form, base::copy_of(bytes));
  if (!store) {
    return;
  }
  Variable variable;
  variable.vendor = kGlobalVariable;
  variable.name = store->variables().empty() ? u"Edited" : store->variables().front().name;
  variable.attributes = 7;
  variable.data = base::Bytes(1 + bytes.size() % 300, std::byte{0x42});
  const auto before = others(*store, variable);
  if (variable.name.empty() || !store->set(variable)) {
    return;
  }
  const auto again = VariableStore::open(form, store->content());
  const auto* found = again ? again->find(variable.vendor, variable.name) : nullptr;
  if (found == nullptr || found->data != variable.data ||
      !is_same(others(*again, variable), before) ||
      (form == StoreForm::kFlash && store->content().size() != bytes.size())) {
    std::abort();
  }
  if (!store->remove(variable.vendor, variable.name) ||
      store->find(variable.vendor, variable.name) != nullptr ||
      !is_same(others(*store, variable), before)) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kMostBytes = 64 * 1024;
  const auto bytes = std::as_bytes(std::span(data, std::min(size, kMostBytes)));
  edit(StoreForm::kFlash, bytes);
  edit(StoreForm::kBiosNvram, bytes);
  return 0;
}
