# A server on port 8000 that requires a part of the library per view.
require "webrick"

VIEWS = {
  "/" => -> { "hello\n" },
  "/digest" => -> { require "openssl"; OpenSSL::Digest.new("SHA256").hexdigest("x") },
  "/template" => -> { require "erb"; ERB.new("<%= 1 + 1 %>").result },
  "/yaml" => -> { require "yaml"; { "a" => [1, 2] }.to_yaml },
  "/encoding" => -> { "gr\u00fc\u00df".encode("EUC-JP", undef: :replace).bytesize.to_s },
  "/child" => -> { `id` },
}.freeze

server = WEBrick::HTTPServer.new(Port: 8000, BindAddress: "127.0.0.1", AccessLog: [])
VIEWS.each do |path, view|
  server.mount_proc(path) { |_, response| response.body = view.call }
end
trap("INT") { server.shutdown }
server.start
