// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>

#include "keybroker/protocol/authority_service.pb.h"
#include "tools/vtpmd/embedded_authority.h"
#include "transport/rpc/service.h"
#include "vtpm/host/host.h"

namespace tools::vtpmd {

// AuthorityService answers the calls of authority_service.proto. It outlives the server. One
// thread.
class AuthorityService {
 public:
  AuthorityService(EmbeddedAuthority& authority, const vtpm::host::Host& host)
      : authority_(authority), host_(host) {}

  // enter() puts every method into the server's table.
  void enter(transport::rpc::Methods& methods);

 private:
  template <typename T>
  using Answer = boost::asio::awaitable<base::Result<T>>;
  using Context = transport::rpc::CallContext;

  Answer<strongroom::host::v1::ListAuthoritiesResponse> list_authorities(
      strongroom::host::v1::ListAuthoritiesRequest request, Context context);
  Answer<strongroom::host::v1::GetCrlResponse> get_crl(strongroom::host::v1::GetCrlRequest request,
                                                       Context context);
  Answer<strongroom::host::v1::ListCertificatesResponse> list_certificates(
      strongroom::host::v1::ListCertificatesRequest request, Context context);
  Answer<strongroom::host::v1::RevokeCertificatesResponse> revoke(
      strongroom::host::v1::RevokeCertificatesRequest request, Context context);

  // The id of a VM of this host, or of one that is gone.
  [[nodiscard]] base::Result<keybroker::protocol::Uuid> vm_id_of(const std::string& vm) const;

  EmbeddedAuthority& authority_;
  const vtpm::host::Host& host_;
};

}  // namespace tools::vtpmd
