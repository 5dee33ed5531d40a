// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <string>

#include "tools/vtpmd/running_instances.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"
#include "vtpm/host/frame.h"

// What the sources of RunningInstances share.
namespace tools::vtpmd {

// make_pair() makes a link: one end stays here. duplicate() makes another descriptor of the same
// socket. kIo.
base::Result<std::array<base::Descriptor, 2>> make_pair();
base::Result<base::Descriptor> duplicate(int number);

// Our end of the link to one instance.
struct RunningInstances::Link {
  Link(boost::asio::io_context& io, base::Descriptor end, std::uint64_t number)
      : socket(io, end.release()), serial(number) {}

  boost::asio::posix::stream_descriptor socket;
  std::uint64_t serial;
  vtpm::host::FrameReader said;

  bool call_is_open = false;    // to the key broker
  bool receipt_is_due = false;  // an answer has come that may bear one

  std::string why;  // of a successor that takes nothing over
};

// Copies of the listening sockets, so that to stop watching is to destroy them.
struct RunningInstances::Watch {
  Watch(boost::asio::io_context& io, base::Descriptor control_copy, base::Descriptor data_copy,
        base::Descriptor variables_copy)
      : control(io, control_copy.release()),
        data(io, data_copy.release()),
        variables(io, variables_copy.release()) {}

  boost::asio::posix::stream_descriptor control;
  boost::asio::posix::stream_descriptor data;
  boost::asio::posix::stream_descriptor variables;
};

}  // namespace tools::vtpmd
