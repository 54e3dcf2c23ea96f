#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n%s %s\n' "$REQUEST_METHOD" "$((6 * 7))"
