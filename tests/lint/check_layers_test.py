#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The layer check must find what it is there for."""
import pathlib
import tempfile
import unittest

import check_layers

POLICY = """
vmgs/base:
vmgs/crypto: vmgs/base
top tools
top tests
library openssl/ = vmgs/crypto
"""


class CheckLayersTest(unittest.TestCase):
    def faults(self, files, policy=POLICY):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "layers.txt").write_text(policy)
            for name, text in files.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            return check_layers.check(root, root / "layers.txt")

    def test_accepts_what_points_down(self):
        self.assertEqual([], self.faults({
            "vmgs/crypto/a.cc": '#include "vmgs/base/b.h"\n#include <openssl/evp.h>\n',
            "tools/x/main.cc": '#include "vmgs/crypto/a.h"\n'}))

    def test_finds_what_points_up(self):
        self.assertEqual(["vmgs/base/a.cc:1: vmgs/base may not include vmgs/crypto"],
                         self.faults({"vmgs/base/a.cc": '#include "vmgs/crypto/b.h"\n'}))

    def test_finds_a_library_in_the_wrong_room(self):
        self.assertEqual(["vmgs/base/a.h:2: vmgs/base may not include <openssl/evp.h>"],
                         self.faults({"vmgs/base/a.h": "\n#include <openssl/evp.h>\n"}))

    def test_finds_a_room_without_a_line(self):
        self.assertEqual(1, len(self.faults({"vmgs/new/a.cc": "\n"})))

    def test_finds_a_room_that_includes_a_program(self):
        self.assertEqual(1, len(self.faults({"vmgs/base/a.cc": '#include "tools/x/main.h"\n'})))

    def test_finds_a_relative_include(self):
        self.assertEqual(1, len(self.faults({"vmgs/base/a.cc": '#include "../crypto/b.h"\n'})))

    def test_finds_a_source_whose_own_header_is_not_first(self):
        files = {"vmgs/base/a.h": "\n", "vmgs/base/b.h": "\n",
                 "vmgs/base/a.cc": '#include "vmgs/base/b.h"\n#include "vmgs/base/a.h"\n'}
        self.assertEqual(["vmgs/base/a.cc:1: vmgs/base/a.h comes before all else here"],
                         self.faults(files))

    def test_a_line_may_only_name_rooms_above_it(self):
        self.assertEqual(1, len(self.faults({}, "vmgs/base: vmgs/crypto\nvmgs/crypto:\n")))


if __name__ == "__main__":
    unittest.main()
