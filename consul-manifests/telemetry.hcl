# telemetry in every sidecar, as a configuration entry for Consul outside Kubernetes:
#   consul config write consul-manifests/telemetry.hcl
Kind = "proxy-defaults"
Name = "global"
Config {
  protocol = "http"
}
EnvoyExtensions = [
  {
    Name = "builtin/wasm"
    # Fail open: a request is worth more than its metrics.
    Required = false
    Arguments = {
      Protocol     = "http"
      ListenerType = "inbound"
      ProxyType    = "connect-proxy"
      PluginConfig = {
        Name   = "telemetry"
        RootID = "telemetry"
        VmConfig = {
          VmID    = "telemetry"
          Runtime = "v8"
          Code = {
            Local = {
              Filename = "/consul/wasm/telemetry.wasm"
            }
          }
        }
        Configuration = <<EOT
{
  "pathTemplates": ["/users/{id}", "/users/{id}/orders/{**}"],
  "metrics": [{
    "name": "checkout_requests_total",
    "type": "counter",
    "when": "request.method == \"POST\"",
    "labels": {"operation": "path_template"}
  }]
}
EOT
      }
    }
  }
]
