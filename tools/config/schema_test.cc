// SPDX-License-Identifier: Apache-2.0
#include "tools/config/schema.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temp_folder.h"
#include "tools/config/vtpmd_settings.h"

namespace tools::config {
namespace {

namespace fs = std::filesystem;

// One key of each kind, each with a default.
class SchemaTest : public ::testing::Test {
 protected:
  SchemaTest() {
    schema_.text("a", "text", text_, "a text");
    schema_.path("a", "path", path_, "a path");
    schema_.word("a", "word", word_, {"one", "two"}, "a word");
    schema_.number("b", "number", number_, 1, 10, "a number");
    schema_.flag("b", "flag", flag_, "a flag");
    schema_.texts("b", "texts", texts_, "texts");
    fs::create_directory(folder_ / "conf.d");
  }

  void write(const std::string& name, const std::string& content) {
    std::ofstream(folder_ / name) << content;
  }

  Loaded load_all(bool must_exist = true) {
    return load(schema_, folder_ / "main.toml", must_exist);
  }

  // only_fault() is the one fault of a file, without its folder.
  std::string only_fault(const std::string& content) {
    write("main.toml", content);
    const auto loaded = load_all();
    EXPECT_EQ(loaded.faults.size(), 1U) << content;
    if (loaded.faults.empty()) {
      return "";
    }
    auto fault = loaded.faults[0];
    fault.file = fault.file.filename();
    return to_string(fault);
  }

  tests::support::TempFolder folder_;
  Schema schema_;
  std::string text_ = "default";
  fs::path path_ = "/default";
  std::string word_ = "one";
  std::int64_t number_ = 5;
  bool flag_ = false;
  std::vector<std::string> texts_;
};

TEST_F(SchemaTest, SaysWhichFileIsAFolder) {
  const auto loaded = load(schema_, folder_ / "conf.d", true);
  ASSERT_EQ(loaded.faults.size(), 1U);
  EXPECT_EQ(to_string(loaded.faults[0]),
            (folder_ / "conf.d").string() + ": cannot be read: Is a directory");

  fs::create_directory(folder_ / "conf.d/1.toml");
  write("main.toml", "");
  ASSERT_EQ(load_all().faults.size(), 1U);
  EXPECT_EQ(load_all().faults[0].file, folder_ / "conf.d/1.toml");
}

TEST_F(SchemaTest, ReadsEveryKindOfValue) {
  write("main.toml", R"([a]
text = "x"
path = "/y"
word = "two"
[b]
number = 10
flag = true
texts = ["x", "y"]
)");

  const auto loaded = load_all();

  EXPECT_TRUE(loaded.faults.empty()) << to_string(loaded.faults[0]);
  EXPECT_EQ(text_, "x");
  EXPECT_EQ(path_, "/y");
  EXPECT_EQ(word_, "two");
  EXPECT_EQ(number_, 10);
  EXPECT_TRUE(flag_);
  EXPECT_EQ(texts_, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(loaded.origins[0], (folder_ / "main.toml").string() + ":2");
}

TEST_F(SchemaTest, KeepsDefaultsWhereNothingIsSaid) {
  write("main.toml", "[b]\nnumber = 6\n");

  const auto loaded = load_all();

  EXPECT_TRUE(loaded.faults.empty());
  EXPECT_EQ(text_, "default");
  EXPECT_EQ(loaded.origins[0], "default");
  EXPECT_EQ(number_, 6);
}

TEST_F(SchemaTest, DoesWithoutAFileUnlessItWasAskedFor) {
  EXPECT_TRUE(load_all(false).faults.empty());

  const auto loaded = load_all(true);

  ASSERT_EQ(loaded.faults.size(), 1U);
  EXPECT_NE(to_string(loaded.faults[0]).find("No such file"), std::string::npos);
}

TEST_F(SchemaTest, LetsDropInsWinInTheOrderOfTheirNames) {
  write("main.toml", "[a]\ntext = \"main\"\nword = \"two\"\n");
  write("conf.d/20.toml", "[a]\ntext = \"twenty\"\n");
  write("conf.d/10.toml", "[a]\ntext = \"ten\"\n[b]\nnumber = 7\n");
  write("conf.d/30.toml.off", "[a]\ntext = \"no\"\n");

  const auto loaded = load_all();

  EXPECT_TRUE(loaded.faults.empty());
  EXPECT_EQ(text_, "twenty");
  EXPECT_EQ(number_, 7);
  EXPECT_EQ(word_, "two");
  EXPECT_EQ(loaded.origins[0], (folder_ / "conf.d/20.toml").string() + ":2");
}

TEST_F(SchemaTest, SaysWhereAFaultIs) {
  EXPECT_EQ(only_fault("[a]\n  txet = \"x\"\n"), "main.toml:2:3: there is no key txet in [a]");
  EXPECT_EQ(only_fault("[c]\n"), "main.toml:1:2: there is no section [c]");
  EXPECT_EQ(only_fault("a = 1\n"), "main.toml:1:1: a is a section, not a value");
  EXPECT_EQ(only_fault("[a]\ntext = 1\n"), "main.toml:2:8: text: a text in quotes is expected");
  EXPECT_EQ(only_fault("[a]\npath = \"y\"\n"),
            "main.toml:2:8: path: an absolute path in quotes is expected");
  EXPECT_EQ(only_fault("[a]\nword = \"three\"\n"),
            "main.toml:2:8: word: one of \"one\", \"two\" is expected");
  EXPECT_EQ(only_fault("[b]\nnumber = 11\n"),
            "main.toml:2:10: number: a number from 1 to 10 is expected");
  EXPECT_EQ(only_fault("[b]\nnumber = 0\n"),
            "main.toml:2:10: number: a number from 1 to 10 is expected");
  EXPECT_EQ(only_fault("[b]\nflag = 1\n"), "main.toml:2:8: flag: true or false is expected");
  EXPECT_EQ(only_fault("[b]\nflag = 1.5\n"),
            "main.toml:2:8: flag: this kind of value is not expected");
  EXPECT_EQ(only_fault("[b]\ntexts = \"x\"\n"),
            "main.toml:2:9: texts: a list of texts in quotes is expected");
  EXPECT_EQ(only_fault("[b]\ntexts = [\"x\", 1]\n"),
            "main.toml:2:9: texts: this kind of value is not expected");
}

TEST_F(SchemaTest, SaysWhereTheFileIsNoToml) {
  EXPECT_EQ(only_fault("[a]\ntext = \"x\n").substr(0, 14), "main.toml:2:10");
}

TEST_F(SchemaTest, FindsEveryFaultAtOnceInTheOrderOfTheLines) {
  write("main.toml", "[b]\nflag = 3\n[a]\nx = 1\ntext = 2\n");
  write("conf.d/1.toml", "[");

  std::vector<std::uint32_t> lines;
  for (const auto& fault : load_all().faults) {
    lines.push_back(fault.line);
  }

  EXPECT_EQ(lines, (std::vector<std::uint32_t>{2, 4, 5, 1}));
}

TEST_F(SchemaTest, ShowsValuesAsTheyWouldStandInTheFile) {
  text_ = R"(a "b" \c)";
  texts_ = {"x", "y \"z\""};
  std::string dump;
  for (const auto& key : schema_.keys()) {
    dump += "[" + key.section + "]\n" + key.name + " = " + key.show() + "\n";
  }
  EXPECT_EQ(dump,
            "[a]\ntext = \"a \\\"b\\\" \\\\c\"\n[a]\npath = \"/default\"\n[a]\nword = \"one\"\n"
            "[b]\nnumber = 5\n[b]\nflag = false\n[b]\ntexts = [\"x\", \"y \\\"z\\\"\"]\n");
}

TEST(VtpmdSettingsTest, PutTheSocketIntoTheRuntimeFolderUnlessToldOtherwise) {
  VtpmdSettings settings;
  settings.runtime_folder = "/x";
  EXPECT_EQ(settings.service_socket(), "/x/vtpmd.sock");
  settings.socket = "/y.sock";
  EXPECT_EQ(settings.service_socket(), "/y.sock");
}

TEST(VtpmdSettingsTest, FindTheInstanceProgramBesideTheDaemonOrInBin) {
  tests::support::TempFolder folder;
  EXPECT_EQ(find_instance_program(folder / "sbin/vtpmd"), folder / "bin/vtpm-instance");

  fs::create_directory(folder / "sbin");
  std::ofstream(folder / "sbin/vtpm-instance") << "x";
  EXPECT_EQ(find_instance_program(folder / "sbin/vtpmd"), folder / "sbin/vtpm-instance");
}

TEST(VtpmdSettingsTest, AreEachInTheSchema) {
  VtpmdSettings settings;
  const auto schema = vtpmd_schema(settings);

  EXPECT_EQ(schema.keys().size(), 18U);
  for (const auto& key : schema.keys()) {
    EXPECT_FALSE(key.summary.empty()) << key.name;
  }
}

}  // namespace
}  // namespace tools::config
