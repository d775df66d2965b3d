/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The echo server on Boost.Asio, with callbacks.
 *
 *     echo_asio ADDRESS:PORT [--workers N] [--burn ROUNDS]
 *
 * Chosen as Asio's own example "an io_context per CPU" does: nothing is shared between threads, the hint says that one
 * thread runs each context, and accepted connections are dealt out in turn. Handlers live in the memory that Asio keeps
 * for each thread; a session is allocated once.
 */
#include "support.h"

#include <array>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio.hpp> /* 1.74 wants <utility> before it */

namespace asio = boost::asio;
using asio::ip::tcp;
using error_code = boost::system::error_code;

static server_options options;

struct session : std::enable_shared_from_this<session> {
    explicit session(tcp::socket accepted) : socket(std::move(accepted)) {}

    void receive()
    {
        socket.async_read_some(asio::buffer(buffer), [self = shared_from_this()](error_code error, std::size_t bytes) {
            if (!error)
                self->send(bytes);
        });
    }

    void send(std::size_t bytes)
    {
        if (options.burn > 0)
            burn(options.burn * static_cast<unsigned char>(buffer[0]));
        asio::async_write(socket, asio::buffer(buffer, bytes),
                          [self = shared_from_this()](error_code error, std::size_t) {
                              if (!error)
                                  self->receive();
                          });
    }

    tcp::socket socket;
    std::array<char, 4096> buffer;
};

struct server {
    server(std::vector<std::unique_ptr<asio::io_context>> &all, int listener)
        : contexts(all), acceptor(*all[0], tcp::v4(), listener)
    {
        accept();
    }

    void accept()
    {
        acceptor.async_accept(*contexts[next++ % contexts.size()], [this](error_code error, tcp::socket socket) {
            if (!error) {
                socket.set_option(tcp::no_delay(true));
                std::make_shared<session>(std::move(socket))->receive();
            }
            accept();
        });
    }

    std::vector<std::unique_ptr<asio::io_context>> &contexts;
    tcp::acceptor acceptor;
    std::size_t next = 0;
};

int main(int argc, char **argv)
{
    options = read_server_options(argc, argv);
    raise_fd_limit();
    std::vector<std::unique_ptr<asio::io_context>> contexts;
    for (unsigned i = 0; i < options.workers; i++)
        contexts.push_back(std::make_unique<asio::io_context>(1));
    server echo(contexts, listen_on(options.address));
    std::vector<std::thread> threads;
    for (auto &context : contexts)
        threads.emplace_back([&context] {
            auto work = asio::make_work_guard(*context);
            context->run();
        });
    for (auto &thread : threads)
        thread.join();
}
