// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/format/file_id.h"

namespace vmgs::volume {

// How a file is kept.
enum class Protection {
  kAsStore,    // encrypted where the store is, plaintext where it is not
  kPlaintext,  // in plaintext, for those who must read it before they have the key
};

// What a commit does to the commit sequence S of an encrypted store.
enum class Sequence {
  kAdvance,  // +1: an instance changed the state
  kKeep,     // the same state, packed or keyed otherwise
  kEdit,     // 0: a tool changed the content; the history of anchors ends here
};

// How often a commit waits for the disk. Either way it is durable when it returns.
enum class Barriers {
  kOneWhereSafe,  // one, where digests tell a torn commit apart; two elsewhere
  kTwo,           // content, barrier, header, barrier: other readers never see a torn store
};

// Transaction lists what one commit changes, all of it or nothing. It holds views: the content must
// stay until commit() has returned.
class Transaction {
 public:
  struct Change {
    format::FileId id;
    bool removes = false;
    base::ByteView content;
    Protection protection = Protection::kAsStore;
    bool relocates = false;
  };

  explicit Transaction(Sequence sequence = Sequence::kAdvance,
                       Barriers barriers = Barriers::kOneWhereSafe)
      : sequence_(sequence), barriers_(barriers) {}

  // put() makes `content` the whole of a file. A later change of the same file wins.
  void put(format::FileId id, base::ByteView content, Protection protection = Protection::kAsStore);

  // remove() takes the file out of the store; no matter if it is not there.
  void remove(format::FileId id);

  // relocate() gives a file other blocks. Its content, key and digest stay, and so does the digest
  // of the state. The extended table may be relocated too: in a plaintext store nothing else moves
  // it.
  void relocate(format::FileId id);

  // on_locked_store() allows the plaintext changes of this transaction to be made without the key.
  // The state is `edited` from then on: an instance refuses it until somebody with the key accepts
  // it.
  void on_locked_store() { on_locked_store_ = true; }

  [[nodiscard]] const std::vector<Change>& changes() const { return changes_; }

  [[nodiscard]] Sequence sequence() const { return sequence_; }

  [[nodiscard]] Barriers barriers() const { return barriers_; }

  [[nodiscard]] bool allowed_on_locked_store() const { return on_locked_store_; }

 private:
  void set(Change change);

  std::vector<Change> changes_;  // one a file, in order of file id
  Sequence sequence_;
  Barriers barriers_;
  bool on_locked_store_ = false;
};

}  // namespace vmgs::volume
