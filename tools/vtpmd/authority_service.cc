// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpmd/authority_service.h"

#include <utility>

#include "keybroker/protocol/uuid.h"
#include "vmgs/base/log.h"

namespace tools::vtpmd {

namespace {

namespace api = strongroom::host::v1;
namespace authority = keybroker::authority;
namespace crypto = keybroker::crypto;
using base::ErrorCode;
using transport::rpc::CallContext;
using Desk = EmbeddedAuthority::Desk;

std::int64_t seconds(crypto::Time time) { return time.time_since_epoch().count(); }

api::CaCertificate view_of(const crypto::Certificate& certificate) {
  api::CaCertificate view;
  view.set_subject(certificate.subject());
  view.set_key(certificate.public_key() ? certificate.public_key()->describe() : "");
  view.set_fingerprint(base::to_hex(certificate.fingerprint()));
  view.mutable_not_before()->set_seconds(seconds(certificate.not_before()));
  view.mutable_not_after()->set_seconds(seconds(certificate.not_after()));
  view.set_pem(certificate.pem());
  return view;
}

base::Result<api::VmCertificate> view_of(const authority::CertificateRecord& record) {
  TRY_ASSIGN(certificate, crypto::Certificate::decode(record.certificate));
  const auto& statement = record.statement;
  api::VmCertificate view;
  view.set_serial(base::to_hex(record.serial));
  view.set_class_(std::string(name(statement.ak_class)));
  view.set_key(std::string(name(record.certified)));
  view.set_ak_name(base::to_hex(statement.ak_name));
  view.set_ek_name(base::to_hex(statement.ek_name));
  view.set_protection(std::string(name(statement.protection)));
  view.mutable_not_before()->set_seconds(seconds(certificate.not_before()));
  view.mutable_not_after()->set_seconds(seconds(record.not_after));
  if (record.revoked) {
    view.mutable_revoked_at()->set_seconds(seconds(*record.revoked));
  }
  view.set_pem(certificate.pem());
  return view;
}

}  // namespace

void AuthorityService::enter(transport::rpc::Methods& methods) {
  const auto& service = *api::Ca::descriptor()->file()->FindServiceByName("AuthorityService");
  // Each handler is a coroutine of this object, which outlives the server.
  methods.unary<api::ListAuthoritiesRequest, api::ListAuthoritiesResponse>(
      service, "ListAuthorities", [this](api::ListAuthoritiesRequest r, CallContext c) {
        return list_authorities(std::move(r), std::move(c));
      });
  methods.unary<api::GetCrlRequest, api::GetCrlResponse>(
      service, "GetCrl",
      [this](api::GetCrlRequest r, CallContext c) { return get_crl(std::move(r), std::move(c)); });
  methods.unary<api::ListCertificatesRequest, api::ListCertificatesResponse>(
      service, "ListCertificates", [this](api::ListCertificatesRequest r, CallContext c) {
        return list_certificates(std::move(r), std::move(c));
      });
  methods.unary<api::RevokeCertificatesRequest, api::RevokeCertificatesResponse>(
      service, "RevokeCertificates", [this](api::RevokeCertificatesRequest r, CallContext c) {
        return revoke(std::move(r), std::move(c));
      });
}

base::Result<keybroker::protocol::Uuid> AuthorityService::vm_id_of(const std::string& vm) const {
  if (const auto found = host_.find(vm)) {
    return (*found)->id().bytes;
  }
  auto id = keybroker::protocol::parse_uuid(vm);
  if (!id) {
    return base::fail(ErrorCode::kNotFound,
                      "there is no VM '" + vm + "' on this host; of one that is gone, say the id");
  }
  return id;
}

AuthorityService::Answer<api::ListAuthoritiesResponse> AuthorityService::list_authorities(
    api::ListAuthoritiesRequest, Context) {
  using Response = api::ListAuthoritiesResponse;
  auto asked = authority_.run<Response>([](Desk& desk) -> base::Result<Response> {
    Response response;
    for (const auto& [ak_class, ca] : desk.cas) {
      auto& view = *response.add_authorities();
      view.set_class_(std::string(name(ak_class)));
      *view.mutable_root() = view_of(ca.root);
      *view.mutable_issuer() = view_of(ca.certificate);
    }
    return response;
  });
  auto answered = co_await std::move(asked);
  co_return answered;
}

AuthorityService::Answer<api::GetCrlResponse> AuthorityService::get_crl(api::GetCrlRequest request,
                                                                        Context) {
  using Response = api::GetCrlResponse;
  auto asked = authority_.run<Response>([request](Desk& desk) -> base::Result<Response> {
    const auto ak_class = keybroker::evidence::parse_ak_class(request.class_());
    if (!ak_class || !desk.cas.contains(*ak_class)) {
      return base::fail(ErrorCode::kNotFound,
                        "this host has no CA of class '" + request.class_() + "'");
    }
    TRY_ASSIGN(crl, desk.authority.crl(*ak_class, now_in_seconds()));
    Response response;
    response.set_crl(crl.der().data(), crl.der().size());
    response.mutable_next_update()->set_seconds(seconds(crl.next_update()));
    return response;
  });
  auto answered = co_await std::move(asked);
  co_return answered;
}

AuthorityService::Answer<api::ListCertificatesResponse> AuthorityService::list_certificates(
    api::ListCertificatesRequest request, Context) {
  using Response = api::ListCertificatesResponse;
  auto found = vm_id_of(request.vm());
  CO_TRY_ASSIGN(vm_id, std::move(found));
  auto asked = authority_.run<Response>([vm_id](Desk& desk) -> base::Result<Response> {
    TRY_ASSIGN(records, desk.records.of_vm(vm_id));
    Response response;
    response.set_vm_id(keybroker::protocol::uuid_text(vm_id));
    for (const auto& record : records) {
      TRY_ASSIGN(view, view_of(record));
      *response.add_certificates() = std::move(view);
    }
    return response;
  });
  auto answered = co_await std::move(asked);
  co_return answered;
}

AuthorityService::Answer<api::RevokeCertificatesResponse> AuthorityService::revoke(
    api::RevokeCertificatesRequest request, Context context) {
  using Response = api::RevokeCertificatesResponse;
  auto found = vm_id_of(request.vm());
  CO_TRY_ASSIGN(vm_id, std::move(found));
  base::log(base::LogLevel::kInfo, "RevokeCertificates of VM " +
                                       keybroker::protocol::uuid_text(vm_id) + " asked for by " +
                                       describe(context.peer));
  auto asked = authority_.run<Response>([vm_id](Desk& desk) -> base::Result<Response> {
    const auto now = now_in_seconds();
    TRY_ASSIGN(records, desk.records.of_vm(vm_id));
    std::uint32_t good = 0;
    for (const auto& record : records) {
      good += record.is_good(now) ? 1 : 0;
    }
    TRY(desk.authority.forget(vm_id, now));
    Response response;
    response.set_vm_id(keybroker::protocol::uuid_text(vm_id));
    response.set_revoked(good);
    return response;
  });
  auto answered = co_await std::move(asked);
  co_return answered;
}

}  // namespace tools::vtpmd
