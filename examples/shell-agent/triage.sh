#!/bin/sh
# An agent that is a shell script: it gets a hall pass for the ticket desk, reads the incidents, and says what it saw.
# The pass stays in a variable of this shell: it is never written down, and no process list shows it.
set -eu

: "${HALLPASS_URL:?is not set: the address of the broker}"
: "${HALLPASS_AGENT:?is not set: the name of the agent}"
: "${HALLPASS_AGENT_KEY:?is not set: the path of its private key}"
: "${TICKETS_URL:?is not set: the address of the ticket desk}"
hallpass=${HALLPASS:-$(dirname "$0")/../../hallpass}

# Asks if need be, and waits for an owner; the pass alone comes on stdout.
pass=$("$hallpass" token tickets --scope ticket:read,ticket:comment --detail queue=incidents \
  --reason 'INC-1: checkout answers 502' --wait 10m)

# curl takes the header from its stdin, where no other user sees it.
desk() { printf 'Authorization: Bearer %s\n' "$pass" | curl --silent --show-error --fail-with-body --header @- "$@"; }

desk "$TICKETS_URL/tickets?queue=incidents"
echo
desk -H 'Content-Type: application/json' --data '{"text":"Looking into it."}' "$TICKETS_URL/tickets/INC-1/comments"
echo
