// `mcp`: a stdio server for MCP clients that speak nothing else. It holds the agent's key, and stands between the client and
// the broker until the client goes; stdout carries the protocol and nothing but it.

import type { Command } from 'commander'
import { BRIDGE } from '../core/limits.ts'
import { agentIdentity } from './agent-identity.ts'
import { createBridge } from './bridge/bridge.ts'
import { createBrokerChannel } from './bridge/broker-channel.ts'
import { createCredentialFiles } from './bridge/credential-files.ts'
import { createDress } from './bridge/dress-results.ts'
import { readLines } from './bridge/json-lines.ts'
import type { Message } from './bridge/json-rpc.ts'
import { createKeptGrants } from './bridge/kept-grants.ts'
import { type Cli, verb } from './command.ts'
import { objectOf, textOf } from './show.ts'

const ABOUT = `
For a client's configuration, not for a terminal: \`hallpass connect CLIENT\` prints it. What a grant is redeemed for lies in
files of mode 0600, kept fresh, in a folder of mode 0700 under XDG_RUNTIME_DIR or the temporary folder; the client is told
the path. When the client goes, so do the files and the grants that it asked for. Requests that still wait go on waiting.`

export function addMcp(program: Command, cli: Cli): void {
  verb(program, 'mcp', 'serve an agent over stdio, for MCP clients (HALLPASS_URL, HALLPASS_AGENT, HALLPASS_AGENT_KEY)')
    .addHelpText('after', ABOUT)
    .action(() => serveStdio(cli))
}

async function serveStdio(cli: Cli): Promise<void> {
  const note = (line: string) => cli.terminal.note(`hallpass mcp: ${line.replace(/\p{Cc}/gu, ' ').slice(0, 1000)}`)
  const identity = agentIdentity(cli, { sharedKey: 'refuse' })
  const files = createCredentialFiles(cli.env)
  // Whatever ends the process, the files go.
  process.once('exit', () => files.close())

  const gone = new AbortController()
  const giveBack = cli.takeOver(() => gone.abort())
  // Whoever read the answers has gone, as at the end of stdin; there is still something to give back.
  process.stdout.removeAllListeners('error').on('error', () => gone.abort())
  const write = (message: Message) =>
    new Promise<void>((resolve) => {
      process.stdout.write(`${JSON.stringify(message)}\n`, () => resolve())
    })

  const kept = createKeptGrants({ identity, files, note, release: (grantId) => callOwn('release_access', { grantId }) })
  const { dress, unsettled } = createDress(kept)
  const bridge = createBridge({
    channel: createBrokerChannel(new URL('/mcp', identity.url)),
    session: async () => (await identity.session()).token,
    dismiss: (token) => identity.dismiss(token),
    write,
    dress,
    note,
  })
  const callOwn = (tool: string, args: object) => bridge.call(tool, args, AbortSignal.timeout(BRIDGE.goodbyeMs))
  note(`for ${identity.agent}, towards ${identity.url.origin}`)

  gone.signal.addEventListener('abort', () => process.stdin.destroy(), { once: true })
  try {
    for await (const line of readLines(process.stdin, BRIDGE.lineBytes)) await bridge.receive(line)
  } catch {
    // Stdin is over, one way or another.
  }
  files.close()
  await Promise.race([goodbye(), new Promise((resolve) => setTimeout(resolve, BRIDGE.goodbyeMs).unref())])
  giveBack()
  process.exit(0)

  async function goodbye(): Promise<void> {
    await bridge.close()
    // What was granted meanwhile, and never seen, was asked for here all the same.
    for (const requestId of unsettled()) {
      const seen = await callOwn('access_status', { requestId }).catch(() => null)
      const grant = objectOf(objectOf(objectOf(seen?.result).structuredContent).grant)
      if (textOf(grant.id) !== '') kept.own(textOf(grant.id))
    }
    await kept.close()
  }
}
