//! nginx: files, locations, as a proxy, and in front of php-fpm.

use std::ffi::OsStr;
use std::fs;

use anyhow::Result;

use super::php::fastcgi_socket;
use super::{Address, Outcome, Place, Server, missing, program, run, sources, unix, version};

pub(super) fn nginx(place: &Place<'_>, application: Option<&Address>) -> Result<Outcome> {
    let Some(nginx) = program("nginx") else {
        return missing();
    };
    let folder = place.folder.display();
    let root = place.site.root.display();
    let secret = &place.site.secret;
    let fastcgi = fastcgi_socket(place);
    let mut blocks: Vec<(&str, &str, String)> = vec![
        (
            "nginx files",
            "nginx-files",
            format!("root {root}; index index.html;"),
        ),
        (
            "nginx location",
            "nginx-location",
            format!(
                "location /admin {{ return 200 '{secret}'; }}
                 location /api/admin/ {{ return 200 '{secret}'; }}
                 location / {{ return 200 'public'; }}"
            ),
        ),
        (
            "nginx location ~*",
            "nginx-location-case",
            format!(
                "location ~* ^/(api/)?admin {{ return 200 '{secret}'; }}
                 location / {{ return 200 'public'; }}"
            ),
        ),
    ];
    if let Some(Address::Tcp(application)) = application {
        blocks.push((
            "nginx proxy",
            "nginx-proxy",
            format!("location / {{ proxy_pass http://{application}; }}"),
        ));
        // With a URI it is the decoded, resolved and re-encoded path that is passed on.
        blocks.push((
            "nginx proxy with URI",
            "nginx-proxy-uri",
            format!("location / {{ proxy_pass http://{application}/; }}"),
        ));
    }
    if fastcgi.exists() {
        let parameters = format!(
            "fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param QUERY_STRING $query_string;
            fastcgi_param REQUEST_URI $request_uri;
            fastcgi_param SERVER_PROTOCOL $server_protocol;
            fastcgi_param SECRET {secret};"
        );
        let fastcgi = fastcgi.display();
        blocks.push((
            "nginx, php-fpm scripts",
            "nginx-php",
            format!(
                "root {root}; index index.html;
                 location ~ [^/]\\.php(/|$) {{
                    fastcgi_split_path_info ^(.+?\\.php)(/.*)$;
                    if (!-f $document_root$fastcgi_script_name) {{ return 404; }}
                    {parameters}
                    fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
                    fastcgi_param PATH_INFO $fastcgi_path_info;
                    fastcgi_pass unix:{fastcgi};
                 }}"
            ),
        ));
        blocks.push((
            "nginx, php-fpm front controller",
            "nginx-router",
            format!(
                "location / {{
                    {parameters}
                    fastcgi_param SCRIPT_FILENAME {}/php/router.php;
                    fastcgi_pass unix:{fastcgi};
                 }}",
                sources().display()
            ),
        ));
    }
    let servers: String = blocks
        .iter()
        .map(|(_, socket, block)| {
            format!(
                "server {{ listen unix:{folder}/{socket}; default_type text/plain; {block} }}\n"
            )
        })
        .collect();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {folder}/temporary-{kind};\n"))
        .collect();
    // One process: none is left over when it is killed.
    let configuration = format!(
        "daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr crit;
         events {{ worker_connections 512; }}
         http {{ access_log off; {temporary} {servers} }}"
    );
    let file = place.folder.join("nginx.conf");
    fs::write(&file, configuration)?;
    let version = version(&nginx, "-v");
    let servers = blocks
        .iter()
        .map(|(name, socket, _)| Server::new(name, &version, unix(place, socket)))
        .collect();
    let error_log = OsStr::new("stderr");
    let arguments = [
        OsStr::new("-e"),
        error_log,
        OsStr::new("-c"),
        file.as_os_str(),
    ];
    run(place, "nginx", &nginx, arguments, servers)
}
