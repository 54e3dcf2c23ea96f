# A server for the study: GET / is its training, each other view a feature of its own.
require "webrick"

VIEWS = {
  "/" => -> { "hello\n" },
  "/crash" => -> { raise "on purpose" },
  "/digests" => -> { require "openssl"; require "digest"; [Digest::SHA2.hexdigest("x"), OpenSSL::Digest.new("SHA3-256").hexdigest("x"), OpenSSL::HMAC.hexdigest("SHA1", "k", "m")].join },
  "/cipher" => -> { require "openssl"; c = OpenSSL::Cipher.new("aes-128-cbc").encrypt; c.key = "k" * 16; c.iv = "i" * 16; (c.update("x") + c.final).unpack1("H*") },
  "/roots" => -> { require "openssl"; s = OpenSSL::X509::Store.new; s.set_default_paths; OpenSSL::X509::DEFAULT_CERT_FILE },
  "/tls" => lambda {
    require "openssl"
    require "socket"
    context = OpenSSL::SSL::SSLContext.new
    context.cert = OpenSSL::X509::Certificate.new(File.read("/app/cert.pem"))
    context.key = OpenSSL::PKey.read(File.read("/app/key.pem"))
    server = OpenSSL::SSL::SSLServer.new(TCPServer.new("127.0.0.1", 0), context)
    thread = Thread.new { peer = server.accept; peer.puts("over tls"); peer.close }
    client = OpenSSL::SSL::SSLContext.new
    client.ca_file = "/app/cert.pem"
    client.verify_mode = OpenSSL::SSL::VERIFY_PEER
    socket = OpenSSL::SSL::SSLSocket.new(TCPSocket.new("127.0.0.1", server.to_io.addr[1]), client)
    socket.connect
    said = socket.gets
    thread.join
    said
  },
  "/template" => -> { require "erb"; ERB.new("<% 3.times do |n| %><%= n %>,<% end %>").result },
  "/yaml" => -> { require "yaml"; YAML.safe_load({ "a" => [1, 2.5, nil] }.to_yaml).inspect },
  "/json" => -> { require "json"; JSON.pretty_generate(JSON.parse('{"a": [1.5, "\u00e9"]}')) },
  "/csv" => -> { require "csv"; CSV.parse("a,\"b,c\"\n").inspect },
  "/encodings" => -> { ["EUC-JP", "Shift_JIS", "GB18030", "Big5", "ISO-8859-15", "UTF-16"].map { |e| "gr\u00fc\u00df \u65e5".encode(e, undef: :replace).bytesize }.join(",") },
  "/unicode" => -> { "\u01c6".unicode_normalize(:nfkd) + "stra\u00dfe".upcase + "\u0130".downcase },
  "/compress" => -> { require "zlib"; require "stringio"; Zlib::Inflate.inflate(Zlib::Deflate.deflate("x" * 99)).size.to_s },
  "/date" => -> { require "date"; require "time"; Date.new(2024, 2, 29).next_year.to_s + Time.parse("2024-07-01 12:00 UTC").iso8601 },
  "/zone" => -> { ENV["TZ"] = "Pacific/Chatham"; t = Time.at(0).to_s; ENV["TZ"] = nil; t },
  "/resolve" => -> { require "socket"; Addrinfo.getaddrinfo("localhost", 80, nil, :STREAM).map(&:ip_address).sort.uniq.join(",") },
  "/resolver" => -> { require "resolv"; Resolv.getaddress("localhost") },
  "/accounts" => -> { require "etc"; Etc.getpwnam("www-data").dir + Etc.getgrgid(0).name },
  "/child" => -> { `id -u` },
  "/shell" => -> { `printf %s $((6 * 7))` },
  "/spawn" => -> { require "open3"; Open3.capture2("ruby", "-e", "puts 6 * 7")[0] },
  "/fork" => -> { r, w = IO.pipe; Process.wait(fork { w.write("child"); exit! }); w.close; r.read },
  "/files" => -> { require "tempfile"; require "fileutils"; require "pathname"; Tempfile.create("x") { |f| f.write("a"); f.flush; Pathname(f.path).size.to_s } },
  "/numbers" => -> { require "bigdecimal"; require "prime"; require "matrix"; BigDecimal("2").sqrt(9).round(5).to_s + Prime.first(5).inspect + Matrix[[1, 2], [3, 4]].det.to_s },
  "/random" => -> { require "securerandom"; SecureRandom.hex.size.to_s + Random.new(1).rand(99).to_s },
  "/sets" => -> { require "set"; require "ostruct"; require "forwardable"; Set[1, 2, 1].size.to_s + OpenStruct.new(a: 1).a.to_s },
  "/http" => -> { require "net/http"; Net::HTTP.get_response(URI("http://127.0.0.1:8000/")).code },
  "/uri" => -> { require "uri"; require "cgi"; require "open-uri"; URI.encode_www_form(a: "\u00e9") + CGI.escapeHTML("<a>") },
  "/gems" => -> { require "rubygems"; Gem::Version.new("1.10") > Gem::Version.new("1.9") ? Gem.loaded_specs.size.positive?.to_s : "no" },
  "/logger" => -> { require "logger"; io = StringIO.new; Logger.new(io).warn("said"); io.string.include?("said").to_s },
  "/options" => -> { require "optparse"; o = {}; OptionParser.new { |p| p.on("-a") { o[:a] = 1 } }.parse(["-a"]); o.inspect },
  "/marshal" => -> { require "pstore"; Marshal.load(Marshal.dump([1, "a"])).inspect },
  "/fiddle" => -> { require "fiddle"; Fiddle::Function.new(Fiddle.dlopen(nil)["abs"], [Fiddle::TYPE_INT], Fiddle::TYPE_INT).call(-3).to_s },
  "/ripper" => -> { require "ripper"; Ripper.sexp("1 + 1").size.to_s },
  "/coverage" => -> { require "benchmark"; require "timeout"; require "monitor"; require "observer"; Timeout.timeout(1) { "in time" } },
  "/readline" => -> { require "reline"; require "io/console"; Reline::VERSION.empty?.to_s },
  "/rexml" => -> { begin; require "rexml/document"; REXML::Document.new("<a b='1'/>").root.attributes["b"]; rescue LoadError => e; e.message; end },
}.freeze

server = WEBrick::HTTPServer.new(Port: 8000, BindAddress: "127.0.0.1", AccessLog: [], Logger: WEBrick::Log.new("/dev/null"))
VIEWS.each do |path, view|
  server.mount_proc(path) do |request, response|
    response.body = path == "/" && request.body ? request.body.bytesize.to_s : view.call
  end
end
trap("INT") { server.shutdown }
server.start
