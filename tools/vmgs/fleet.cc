// SPDX-License-Identifier: Apache-2.0
#include "tools/vmgs/fleet.h"

#include <fcntl.h>
#include <glob.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "tools/cli/stream.h"
#include "tools/cli/terminal.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/storage/system_error.h"
#include "vmgs/storage/transfer.h"

namespace tools::vmgs {

namespace {

using base::ErrorCode;

constexpr std::size_t kMostListBytes = std::size_t{64} << 20;
constexpr std::string_view kPlace = "{}";

struct FleetArguments {
  std::string list;
  std::vector<std::string> patterns;
  std::string journal;
  unsigned jobs = 4;
};

// Progress is for somebody who watches.
bool shows_progress() {
  const char* const terminal = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && terminal != nullptr &&
         std::string_view(terminal) != "dumb";
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    if (end > at) {
      lines.emplace_back(text.substr(at, end - at));
    }
    at = end + 1;
  }
  return lines;
}

std::string_view text_of(base::ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

base::Result<std::vector<std::string>> read_lines(const std::string& from) {
  TRY_ASSIGN(content, cli::read_input(from, kMostListBytes));
  return lines_of(text_of(content.expose()));
}

base::Result<std::vector<std::string>> matches_of(const std::string& pattern) {
  glob_t found{};
  const int error = ::glob(pattern.c_str(), 0, nullptr, &found);
  std::vector<std::string> names;
  if (error == 0) {
    names.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  }
  ::globfree(&found);
  if (error != 0) {
    return base::fail(ErrorCode::kNotFound, "no file matches " + pattern);
  }
  return names;
}

// Each file once, in the order in which it was named.
base::Result<std::vector<std::string>> files_of(const FleetArguments& arguments) {
  std::vector<std::string> all;
  if (!arguments.list.empty()) {
    TRY_ASSIGN(listed, read_lines(arguments.list));
    all = std::move(listed);
  }
  for (const auto& pattern : arguments.patterns) {
    TRY_ASSIGN(names, matches_of(pattern));
    all.insert(all.end(), names.begin(), names.end());
  }
  std::set<std::string> seen;
  std::erase_if(all, [&](const std::string& name) { return !seen.insert(name).second; });
  if (all.empty()) {
    return base::fail(ErrorCode::kInvalidArgument, "no file is named: say --list or --match");
  }
  return all;
}

// The files that are done, so that a run which was cut off is taken up where it ended. The first
// line names the command by its digest, so that no other one skips what this one did; then there is
// a line for each file.
class Journal {
 public:
  // open() makes the file if there is none, and takes a line off that was cut off. kDenied for the
  // journal of another command, and for a file that is no journal; nothing is written then.
  static base::Result<Journal> open(const std::string& path,
                                    const std::vector<std::string>& words) {
    Journal journal;
    if (path.empty()) {
      return journal;
    }
    journal.file_ = base::Descriptor(
        ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600));
    if (!journal.file_.is_open()) {
      return base::fail(::vmgs::storage::system_error(errno, "cannot open " + path));
    }
    TRY_ASSIGN(content, cli::read_input(std::filesystem::absolute(path), kMostListBytes));
    TRY(journal.take_up(path, text_of(content.expose()), first_line(words)));
    return journal;
  }

  [[nodiscard]] bool has(const std::string& name) const { return done_.contains(name); }

  base::Result<void> add(const std::string& name) {
    return file_.is_open() ? append(name + "\n") : base::Result<void>();
  }

 private:
  static std::string first_line(const std::vector<std::string>& words) {
    std::string all;
    for (const auto& word : words) {
      all += word + '\0';
    }
    return "vmgs fleet, command " + base::to_hex(::vmgs::crypto::sha256(base::bytes_of(all))) +
           "\n";
  }

  base::Result<void> take_up(const std::string& path, std::string_view text,
                             const std::string& first) {
    const bool begins = text.starts_with(first);
    if (!begins && !std::string_view(first).starts_with(text)) {
      return base::fail(ErrorCode::kDenied,
                        path + " is no journal of this command: name a new file for each command");
    }
    if (!begins) {
      // Nothing, or a first line that was cut off.
      TRY(cut(0));
      return append(first);
    }
    const auto whole = text.substr(0, text.rfind('\n') + 1);
    if (whole.size() != text.size()) {
      TRY(cut(whole.size()));
    }
    const auto names = lines_of(whole.substr(first.size()));
    done_.insert(names.begin(), names.end());
    return {};
  }

  base::Result<void> cut(std::size_t bytes) {
    return ::ftruncate(file_.number(), static_cast<off_t>(bytes)) == 0
               ? base::Result<void>()
               : base::fail(::vmgs::storage::system_error(errno, "the journal"));
  }

  base::Result<void> append(const std::string& line) {
    const int error = ::vmgs::storage::transfer_all(line.size(), [&](std::size_t done) {
      return ::write(file_.number(), line.data() + done, line.size() - done);
    });
    return error == 0 ? base::Result<void>()
                      : base::fail(::vmgs::storage::system_error(error, "the journal"));
  }

  base::Descriptor file_;
  std::set<std::string> done_;
};

struct FileOutcome {
  std::string file;
  bool skipped = false;
  cli::Captured ran{};
};

// The document that the command answered with; none where it has none.
boost::json::value document_of(const FileOutcome& outcome) {
  boost::json::error_code error;
  auto document = boost::json::parse(outcome.ran.answer, error);
  return error ? boost::json::value() : document;
}

// A plan that succeeded has done nothing yet.
bool is_done(const FileOutcome& outcome) {
  if (outcome.skipped || outcome.ran.status != 0) {
    return false;
  }
  const auto document = document_of(outcome);
  const auto* const object = document.if_object();
  const auto* const applied = object == nullptr ? nullptr : object->if_contains("applied");
  return applied == nullptr || !applied->is_bool() || applied->get_bool();
}

// Runs the command on each file, a few at a time: each waits for the disk most of the time.
class Fleet {
 public:
  Fleet(const cli::Program& program, std::vector<std::string> words,
        const std::vector<std::string>& files, Journal journal)
      : program_(program), words_(std::move(words)), journal_(std::move(journal)) {
    for (const auto& file : files) {
      outcomes_.push_back({file, journal_.has(file)});
    }
  }

  const std::vector<FileOutcome>& run(unsigned jobs) {
    std::vector<std::jthread> workers;
    for (unsigned i = 1; i < std::clamp<std::size_t>(jobs, 1, outcomes_.size()); ++i) {
      workers.emplace_back([this] { work(); });
    }
    work();
    workers.clear();
    if (shows_progress_) {
      std::fputs("\r\x1b[K", stderr);
    }
    return outcomes_;
  }

 private:
  void work() {
    for (;;) {
      const auto place = next_.fetch_add(1);
      if (place >= outcomes_.size()) {
        return;
      }
      auto& outcome = outcomes_[place];
      if (!outcome.skipped) {
        outcome.ran = cli::run_captured(program_, words_for(outcome.file));
      }
      note(outcome);
    }
  }

  [[nodiscard]] std::vector<std::string> words_for(const std::string& file) const {
    auto words = words_;
    for (auto& word : words) {
      for (auto at = word.find(kPlace); at != std::string::npos;
           at = word.find(kPlace, at + file.size())) {
        word.replace(at, kPlace.size(), file);
      }
    }
    return words;
  }

  void note(FileOutcome& outcome) {
    const std::lock_guard lock(mutex_);
    ++finished_;
    if (is_done(outcome)) {
      if (const auto added = journal_.add(outcome.file); !added) {
        outcome.ran.status = static_cast<int>(cli::ExitStatus::kFailed);
        outcome.ran.talked += added.error().message + "\n";
      }
    }
    failed_ += outcome.ran.status == 0 ? 0U : 1U;
    if (shows_progress_) {
      std::fprintf(stderr, "\r\x1b[K%zu of %zu files, %zu failed", finished_, outcomes_.size(),
                   failed_);
    }
  }

  const cli::Program& program_;
  const std::vector<std::string> words_;
  Journal journal_;
  std::vector<FileOutcome> outcomes_;
  std::atomic<std::size_t> next_ = 0;
  std::mutex mutex_;  // for the three below and the journal
  std::size_t finished_ = 0;
  std::size_t failed_ = 0;
  const bool shows_progress_ = shows_progress();
};

struct Counts {
  std::size_t done = 0;
  std::size_t failed = 0;
  std::size_t skipped = 0;
};

Counts count(const std::vector<FileOutcome>& outcomes) {
  Counts counts;
  for (const auto& each : outcomes) {
    ++(each.skipped ? counts.skipped : each.ran.status == 0 ? counts.done : counts.failed);
  }
  return counts;
}

boost::json::object to_json(const FileOutcome& outcome) {
  boost::json::object object = {{"file", outcome.file},
                                {"skipped", outcome.skipped},
                                {"exit_status", outcome.ran.status},
                                {"talk", outcome.ran.talked}};
  auto answer = document_of(outcome);
  object["answer"] = answer.is_null() ? boost::json::value(outcome.ran.answer) : std::move(answer);
  return object;
}

// A line for each file, the first of what it said behind those that failed.
std::string to_text(const FileOutcome& outcome) {
  const auto file = cli::printable(outcome.file);
  if (outcome.skipped) {
    return "skipped " + file + "\n";
  }
  if (outcome.ran.status == 0) {
    return "done    " + file + "\n";
  }
  const auto said = lines_of(outcome.ran.talked);
  return "failed  " + file + ": " + std::to_string(outcome.ran.status) +
         (said.empty() ? "" : ": " + cli::printable(said.front())) + "\n";
}

base::Result<void> answer(cli::Output& output, const std::vector<FileOutcome>& outcomes,
                          const Counts& counts) {
  if (output.json()) {
    boost::json::array files;
    for (const auto& each : outcomes) {
      files.push_back(to_json(each));
    }
    return output.document("strongroom.vmgs.fleet/1", {{"done", counts.done},
                                                       {"failed", counts.failed},
                                                       {"skipped", counts.skipped},
                                                       {"files", std::move(files)}});
  }
  std::string text;
  for (const auto& each : outcomes) {
    text += to_text(each);
  }
  return output.text(text + std::to_string(outcomes.size()) + " files: " +
                     std::to_string(counts.done) + " done, " + std::to_string(counts.failed) +
                     " failed, " + std::to_string(counts.skipped) + " skipped\n");
}

// A program with the one command that is wanted: what reads its command line is made for each file.
cli::Program narrowed(const cli::Program& program, const std::string& command) {
  auto narrow = program;
  std::erase_if(narrow.commands, [&](const auto& each) { return each.name != command; });
  return narrow;
}

// A journal has a name a line.
base::Result<void> check_names(const FleetArguments& arguments,
                               const std::vector<std::string>& files) {
  for (const auto& file : files) {
    if (!arguments.journal.empty() && file.find('\n') != std::string::npos) {
      return base::fail(ErrorCode::kInvalidArgument,
                        cli::printable(file) +
                            " has a line end in its name, which --resume "
                            "cannot remember: rename the file");
    }
  }
  return {};
}

base::Result<cli::ExitStatus> fleet(const FleetArguments& arguments, const cli::Program& program,
                                    std::vector<std::string> words, cli::Output& output) {
  const bool has_place = std::any_of(words.begin(), words.end(), [](const std::string& word) {
    return word.find(kPlace) != std::string::npos;
  });
  if (!has_place) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "behind the options comes a command with {} where the file stands, such as "
                      "`check {}`");
  }
  const auto wanted = narrowed(program, words.front());
  if (wanted.commands.empty()) {
    return base::fail(ErrorCode::kInvalidArgument, words.front() + " is no command");
  }
  TRY_ASSIGN(files, files_of(arguments));
  TRY(check_names(arguments, files));
  TRY_ASSIGN(journal, Journal::open(arguments.journal, words));
  // Its document says whether a command has written anything. vmgstool's have none.
  if (words.front() != "compat") {
    words.emplace_back("--json");
  }
  Fleet runs(wanted, std::move(words), files, std::move(journal));
  const auto& outcomes = runs.run(arguments.jobs);
  const auto counts = count(outcomes);
  TRY(answer(output, outcomes, counts));
  return counts.failed == 0 ? cli::ExitStatus::kDone : cli::ExitStatus::kFailed;
}

}  // namespace

cli::Command fleet_command(std::vector<cli::Command> commands) {
  auto program = std::make_shared<cli::Program>(
      cli::Program{.name = "vmgs", .summary = {}, .commands = std::move(commands)});
  return {.name = "fleet",
          .summary = "Run a command on many files: fleet --match 'vms/*' check {}",
          .set_up = [program](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<FleetArguments>();
            app.add_option("--list", arguments->list, "A file with a name a line, or - for stdin")
                ->type_name("FROM");
            app.add_option("--match", arguments->patterns, "Files that match a pattern, such as *")
                ->type_name("GLOB")
                ->allow_extra_args(false);
            app.add_option("--resume", arguments->journal,
                           "A file that remembers which files this command has done, to skip them")
                ->type_name("JOURNAL");
            app.add_option("--jobs", arguments->jobs, "How many files at a time")
                ->check(CLI::Range(1, 256))
                ->capture_default_str();
            app.prefix_command();
            return [arguments, program, &app](cli::Output& output) {
              return fleet(*arguments, *program, app.remaining(), output);
            };
          }};
}

}  // namespace tools::vmgs
