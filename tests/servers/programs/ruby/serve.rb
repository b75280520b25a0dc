# One Ruby server by name. Arguments: the server, the folder with the files.
name, root = ARGV
secret = ENV.fetch("SECRET")

def listening(name, port, version, note = nil)
  puts ["listening", name, "127.0.0.1:#{port}", version, *note].join("|")
  $stdout.flush
end

case name
when "webrick"
  require "webrick"
  quiet = { BindAddress: "127.0.0.1", Port: 0, AccessLog: [], Logger: WEBrick::Log.new(File::NULL) }
  files = WEBrick::HTTPServer.new(**quiet, DocumentRoot: root)
  routes = WEBrick::HTTPServer.new(**quiet)
  ["/admin", "/api/admin"].each { |path| routes.mount_proc(path) { |_, answer| answer.body = secret } }
  { "WEBrick files" => files, "WEBrick mount" => routes }.each do |title, server|
    listening(title, server.listeners[0].addr[1], WEBrick::VERSION)
    Thread.new { server.start }
  end
when "puma"
  require "rack"
  require "puma"
  require "puma/server"
  require "puma/events"
  guarded = ->(_) { [200, { "content-type" => "text/plain" }, [secret]] }
  public_ = ->(_) { [200, { "content-type" => "text/plain" }, ["public"]] }
  apps = {
    "Puma, Rack::Files" => Rack::Files.new(root),
    "Puma, Rack::Static" => Rack::Static.new(public_, root: root, urls: ["/"], index: "index.html"),
    "Puma, Rack::URLMap" => Rack::URLMap.new("/admin" => guarded, "/api/admin" => guarded, "/" => public_),
    "Puma, PATH_INFO unescaped" => lambda do |env|
      path = Rack::Utils.unescape_path(env["PATH_INFO"])
      path.match?(%r{\A/(api/)?admin(/|\z)}) ? guarded.call(env) : public_.call(env)
    end,
  }
  apps.each do |title, app|
    server = Puma::Server.new(app, Puma::Events.strings, { min_threads: 2, max_threads: 2 })
    port = server.add_tcp_listener("127.0.0.1", 0).addr[1]
    # A request that its parser refuses, on a connection that is used again, is answered
    # after twenty seconds only.
    listening(title, port, "#{Puma::Const::VERSION}, Rack #{Rack.release}", "one request a connection")
    server.run
  end
end
puts "ready"
$stdout.flush
sleep
