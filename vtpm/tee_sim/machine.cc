// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee_sim/machine.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <span>
#include <vector>

#include "vmgs/crypto/digest.h"
#include "vmgs/crypto/random.h"

namespace vtpm::tee_sim {

namespace {

namespace json = boost::json;

using keybroker::evidence::TcbForm;
using keybroker::evidence::TcbVersion;
using keybroker::evidence::TdQuoteForm;

auto refuse(const std::string& why) {
  return base::fail(base::ErrorCode::kInvalidArgument, "machine description: " + why);
}

std::string hex_number(std::uint64_t value) {
  std::array<char, 16> digits{};
  const auto end = std::to_chars(digits.begin(), digits.end(), value, 16).ptr;
  return "0x" + std::string(digits.begin(), end);
}

// ObjectReader takes members out of an object one after another; what is left at the end was not
// expected.
class ObjectReader {
 public:
  ObjectReader(json::object object, std::string where)
      : object_(std::move(object)), where_(std::move(where)) {}

  base::Result<std::string> text(std::string_view key) {
    TRY_ASSIGN(value, take(key));
    if (!value.is_string()) {
      return refuse(where_ + std::string(key) + " is not a string");
    }
    return std::string(value.as_string());
  }

  template <std::size_t N>
  base::Result<std::array<std::byte, N>> bytes(std::string_view key) {
    TRY_ASSIGN(digits, text(key));
    const auto bytes = base::from_hex(digits);
    if (!bytes || bytes->size() != N) {
      return refuse(where_ + std::string(key) + " is not " + std::to_string(N) +
                    " bytes in hexadecimal digits");
    }
    std::array<std::byte, N> out{};
    std::ranges::copy(*bytes, out.begin());
    return out;
  }

  // number() is a JSON number, or a string of hexadecimal digits with 0x in front.
  base::Result<std::uint64_t> number(std::string_view key, std::uint64_t most) {
    TRY_ASSIGN(value, take(key));
    std::uint64_t number = 0;
    bool good = false;
    if (value.is_string() && value.as_string().starts_with("0x")) {
      const std::string_view digits = std::string_view(value.as_string()).substr(2);
      const auto read = std::from_chars(digits.begin(), digits.end(), number, 16);
      good = read.ec == std::errc() && read.ptr == digits.end();
    } else if (value.is_int64() && value.as_int64() >= 0) {
      number = static_cast<std::uint64_t>(value.as_int64());
      good = true;
    }
    if (!good || number > most) {
      return refuse(where_ + std::string(key) + " is not a number from 0 to " +
                    std::to_string(most));
    }
    return number;
  }

  base::Result<ObjectReader> object(std::string_view key) {
    TRY_ASSIGN(value, take(key));
    if (!value.is_object()) {
      return refuse(where_ + std::string(key) + " is not an object");
    }
    return ObjectReader(std::move(value.as_object()), where_ + std::string(key) + ".");
  }

  [[nodiscard]] base::Result<void> expect_end() const {
    if (!object_.empty()) {
      return refuse(where_ + std::string(object_.begin()->key()) + " is not known");
    }
    return {};
  }

 private:
  base::Result<json::value> take(std::string_view key) {
    const auto found = object_.find(key);
    if (found == object_.end()) {
      return refuse(where_ + std::string(key) + " is missing");
    }
    json::value value = std::move(found->value());
    object_.erase(found);
    return value;
  }

  json::object object_;
  std::string where_;
};

constexpr std::uint64_t kAny32 = 0xFFFFFFFF;
constexpr std::uint64_t kAny64 = ~0ULL;

struct Component {
  std::string_view key;
  std::uint8_t TcbVersion::*field;
};

// The FMC is a component of Turin's form only.
std::vector<Component> components(TcbForm form) {
  std::vector<Component> all{{"boot_loader", &TcbVersion::boot_loader},
                             {"tee", &TcbVersion::tee},
                             {"snp", &TcbVersion::snp},
                             {"microcode", &TcbVersion::microcode}};
  if (form == TcbForm::kTurin) {
    all.insert(all.begin(), {"fmc", &TcbVersion::fmc});
  }
  return all;
}

struct TcbMember {
  std::string_view key;
  TcbVersion SnpMachine::*field;
};

constexpr std::array kTcbs{
    TcbMember{"current", &SnpMachine::current}, TcbMember{"committed", &SnpMachine::committed},
    TcbMember{"reported", &SnpMachine::reported}, TcbMember{"launch", &SnpMachine::launch}};

// What no SNP machine can be.
base::Result<void> check(const SnpMachine& machine) {
  if ((machine.policy & keybroker::evidence::kSnpPolicyReservedOne) == 0) {
    return refuse("bit 17 of policy (0x20000) must be one");
  }
  const bool turin = machine.product == SnpProduct::kTurin;
  if (turin && !base::is_all_zero(std::span(machine.chip_id).subspan(8))) {
    return refuse("the chip_id of Turin has 8 bytes, and 56 zero bytes behind them");
  }
  const auto version = machine.report_version;
  if (version != 3 && version != 5 && (version != 2 || turin)) {
    return refuse("report_version is none of 2 (but for Turin), 3 and 5");
  }
  for (const auto* lower : {&machine.committed, &machine.reported}) {
    if (!reaches(machine.current, *lower)) {
      return refuse("the committed and the reported TCB cannot be above the current one");
    }
  }
  return {};
}

base::Result<SnpMachine> read_snp(ObjectReader& in) {
  SnpMachine machine;
  TRY_ASSIGN(product_word, in.text("product"));
  const auto product = keybroker::evidence::parse_snp_product(product_word);
  if (!product) {
    return refuse("product '" + product_word + "' is none of Milan, Genoa, Turin");
  }
  TRY_ASSIGN(chip_id, in.bytes<64>("chip_id"));
  TRY_ASSIGN(measurement, in.bytes<48>("measurement"));
  TRY_ASSIGN(policy, in.number("policy", kAny64));
  TRY_ASSIGN(guest_svn, in.number("guest_svn", kAny32));
  TRY_ASSIGN(family_id, in.bytes<16>("family_id"));
  TRY_ASSIGN(image_id, in.bytes<16>("image_id"));
  TRY_ASSIGN(vmpl, in.number("vmpl", 3));
  TRY_ASSIGN(platform_info, in.number("platform_info", kAny64));
  TRY_ASSIGN(report_version, in.number("report_version", 5));
  machine = {.product = *product,
             .chip_id = chip_id,
             .measurement = measurement,
             .policy = policy,
             .guest_svn = static_cast<std::uint32_t>(guest_svn),
             .family_id = family_id,
             .image_id = image_id,
             .vmpl = static_cast<std::uint32_t>(vmpl),
             .platform_info = platform_info,
             .report_version = static_cast<std::uint32_t>(report_version),
             .current = {},
             .committed = {},
             .reported = {},
             .launch = {}};
  TRY_ASSIGN(tcb, in.object("tcb"));
  for (const auto& [key, field] : kTcbs) {
    TRY_ASSIGN(one, tcb.object(key));
    for (const auto& component : components(tcb_form(*product))) {
      TRY_ASSIGN(value, one.number(component.key, 0xFF));
      (machine.*field).*component.field = static_cast<std::uint8_t>(value);
    }
    TRY(one.expect_end());
  }
  TRY(tcb.expect_end());
  TRY(check(machine));
  return machine;
}

json::object snp_object(const SnpMachine& machine) {
  json::object tcb;
  for (const auto& [key, field] : kTcbs) {
    json::object one;
    for (const auto& component : components(tcb_form(machine.product))) {
      one[component.key] = (machine.*field).*component.field;
    }
    tcb[key] = std::move(one);
  }
  return {{"family", "sev-snp"},
          {"product", name(machine.product)},
          {"chip_id", base::to_hex(machine.chip_id)},
          {"measurement", base::to_hex(machine.measurement)},
          {"policy", hex_number(machine.policy)},
          {"guest_svn", machine.guest_svn},
          {"family_id", base::to_hex(machine.family_id)},
          {"image_id", base::to_hex(machine.image_id)},
          {"vmpl", machine.vmpl},
          {"platform_info", hex_number(machine.platform_info)},
          {"report_version", machine.report_version},
          {"tcb", std::move(tcb)}};
}

struct FormWord {
  TdQuoteForm form;
  std::string_view word;
};

constexpr std::array kForms{FormWord{TdQuoteForm::kV4, "4"},
                            FormWord{TdQuoteForm::kV5Body10, "5/2"},
                            FormWord{TdQuoteForm::kV5Body15, "5/3"}};

base::Result<TdxMachine> read_tdx(ObjectReader& in) {
  TdxMachine machine;
  TRY_ASSIGN(platform_id, in.bytes<16>("platform_id"));
  TRY_ASSIGN(mr_td, in.bytes<48>("mr_td"));
  TRY_ASSIGN(attributes, in.number("attributes", kAny64));
  TRY_ASSIGN(xfam, in.number("xfam", kAny64));
  TRY_ASSIGN(mr_owner, in.bytes<48>("mr_owner"));
  TRY_ASSIGN(mr_owner_config, in.bytes<48>("mr_owner_config"));
  machine.platform_id = platform_id;
  machine.mr_td = mr_td;
  machine.attributes = attributes;
  machine.xfam = xfam;
  machine.mr_owner = mr_owner;
  machine.mr_owner_config = mr_owner_config;
  for (std::size_t i = 0; i < machine.rtmr.size(); ++i) {
    TRY_ASSIGN(rtmr, in.bytes<48>("rtmr" + std::to_string(i)));
    machine.rtmr.at(i) = rtmr;
  }
  TRY_ASSIGN(tee_tcb_svn, in.bytes<16>("tee_tcb_svn"));
  TRY_ASSIGN(cpu_svn, in.bytes<16>("cpu_svn"));
  TRY_ASSIGN(form_word, in.text("quote_form"));
  machine.tee_tcb_svn = tee_tcb_svn;
  machine.cpu_svn = cpu_svn;
  const auto form = std::ranges::find(kForms, form_word, &FormWord::word);
  if (form == kForms.end()) {
    return refuse("quote_form '" + form_word + "' is none of 4, 5/2, 5/3");
  }
  machine.quote_form = form->form;
  return machine;
}

json::object tdx_object(const TdxMachine& machine) {
  json::object object{{"family", "tdx"},
                      {"platform_id", base::to_hex(machine.platform_id)},
                      {"mr_td", base::to_hex(machine.mr_td)},
                      {"attributes", hex_number(machine.attributes)},
                      {"xfam", hex_number(machine.xfam)},
                      {"mr_owner", base::to_hex(machine.mr_owner)},
                      {"mr_owner_config", base::to_hex(machine.mr_owner_config)}};
  for (std::size_t i = 0; i < machine.rtmr.size(); ++i) {
    object["rtmr" + std::to_string(i)] = base::to_hex(machine.rtmr.at(i));
  }
  object["tee_tcb_svn"] = base::to_hex(machine.tee_tcb_svn);
  object["cpu_svn"] = base::to_hex(machine.cpu_svn);
  object["quote_form"] = std::ranges::find(kForms, machine.quote_form, &FormWord::form)->word;
  return object;
}

}  // namespace

base::Result<SnpMachine> new_snp_machine() {
  SnpMachine machine;
  TRY(vmgs::crypto::random_bytes(machine.chip_id));
  machine.measurement = vmgs::crypto::sha384(base::bytes_of("simulated SEV-SNP image"));
  machine.current = {.boot_loader = 10, .tee = 0, .snp = 27, .microcode = 27};
  machine.committed = machine.reported = machine.launch = machine.current;
  return machine;
}

base::Result<TdxMachine> new_tdx_machine() {
  TdxMachine machine;
  TRY(vmgs::crypto::random_bytes(machine.platform_id));
  machine.mr_td = vmgs::crypto::sha384(base::bytes_of("simulated TDX image"));
  machine.tee_tcb_svn = {std::byte{6}, std::byte{1}, std::byte{3}};
  machine.cpu_svn = {std::byte{4}, std::byte{4}, std::byte{2}, std::byte{2},
                     std::byte{2}, std::byte{1}, std::byte{0}, std::byte{5}};
  return machine;
}

std::string to_json(const Machine& machine) {
  const auto object = std::holds_alternative<SnpMachine>(machine)
                          ? snp_object(std::get<SnpMachine>(machine))
                          : tdx_object(std::get<TdxMachine>(machine));
  std::string text = "{\n";
  for (const auto& member : object) {
    text += "  " + json::serialize(json::value(member.key())) + ": " +
            json::serialize(member.value()) + (&member == &*std::prev(object.end()) ? "\n" : ",\n");
  }
  return text + "}\n";
}

base::Result<Machine> parse_machine(std::string_view text) {
  json::error_code error;
  auto value = json::parse(json::string_view(text.data(), text.size()), error);
  if (error || !value.is_object()) {
    return refuse("not a JSON object" + (error ? ": " + error.message() : std::string()));
  }
  ObjectReader in(std::move(value.as_object()), "");
  TRY_ASSIGN(family, in.text("family"));
  Machine machine;
  if (family == "sev-snp") {
    TRY_ASSIGN(snp, read_snp(in));
    machine = snp;
  } else if (family == "tdx") {
    TRY_ASSIGN(tdx, read_tdx(in));
    machine = tdx;
  } else {
    return refuse("family '" + family + "' is neither sev-snp nor tdx");
  }
  TRY(in.expect_end());
  return machine;
}

}  // namespace vtpm::tee_sim
