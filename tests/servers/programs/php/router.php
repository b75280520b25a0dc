<?php
// A front controller: the path by parse_url, as sent and decoded.
$path = parse_url($_SERVER["REQUEST_URI"], PHP_URL_PATH);
$guarded = fn ($path) => is_string($path) && preg_match("~^/(api/)?admin(/|$)~", $path);
echo $guarded($path) || $guarded(rawurldecode((string) $path)) ? getenv("SECRET") ?: $_SERVER["SECRET"] : "public";
