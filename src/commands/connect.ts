// `connect CLIENT`: what to write where, so that an MCP client starts `hallpass mcp` as this agent. Offline; it prints
// paths, and neither reads nor shows what lies there.

import { lstatSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { CLIENT_NAMES, clientConfig, clientNamed } from '../core/client-config.ts'
import { didYouMean } from '../core/did-you-mean.ts'
import { type Cli, verb } from './command.ts'
import { brokerUrl } from './remote.ts'
import { Stop } from './stop.ts'

const LAUNCHER = fileURLToPath(new URL('../../hallpass', import.meta.url))

const ABOUT = `
CLIENT is one of ${CLIENT_NAMES.join(', ')}. HALLPASS_URL, HALLPASS_AGENT and HALLPASS_AGENT_KEY (the path of its private
key) say as whom. The configuration goes to stdout alone and holds no secret; where it belongs is said on stderr.
A client that does client_credentials with private_key_jwt by itself needs none of this: give it the MCP URL and the key.`

export function addConnect(program: Command, cli: Cli): void {
  verb(program, 'connect <client>', 'print what an MCP client needs to start `hallpass mcp` as this agent')
    .addHelpText('after', ABOUT)
    .action((given: string) => {
      const client = clientNamed(given)
      if (client === null) {
        const near = didYouMean(given, CLIENT_NAMES)
        throw new Stop(1, `there is no configuration for "${given}"`, [
          ...(near === null ? [] : [`Did you mean ${near}?`]),
          `There is one for ${CLIENT_NAMES.join(', ')}.`,
        ])
      }
      const { env, warnings } = settingsOf(cli)
      const server = { name: 'hallpass', command: process.execPath, args: [LAUNCHER, 'mcp'], env }
      const config = clientConfig(client, server)
      if (!config.ok) throw new Stop(1, config.error)
      const { title, files, format, text, commandLine } = config.value
      cli.terminal.answer({ client, title, files, format, text, commandLine, server, warnings }, () => [text.trimEnd()])
      if (cli.terminal.json()) return
      for (const warning of warnings) cli.terminal.note(`warning: ${warning}`)
      cli.terminal.note(`For ${title}: ${files.join(', or ')}. What is there already stays beside it.`)
      if (commandLine !== null) cli.terminal.note(`Or run:\n  ${commandLine}`)
    })
}

function settingsOf({ env, cwd }: Cli): { readonly env: Record<string, string>; readonly warnings: readonly string[] } {
  const named = (name: string) => (env[name] ?? '').trim()
  const missing = ['HALLPASS_URL', 'HALLPASS_AGENT', 'HALLPASS_AGENT_KEY'].filter((name) => named(name) === '')
  if (missing.length > 0)
    throw new Stop(
      1,
      `${missing.join(' and ')} ${missing.length === 1 ? 'is' : 'are'} not set: as whom shall it connect?`,
      ['`hallpass agent new NAME …` makes an agent and its key.'],
    )
  if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(named('HALLPASS_AGENT')))
    throw new Stop(1, 'HALLPASS_AGENT is not the name of an agent')
  if (named('HALLPASS_AGENT_KEY').includes('-----BEGIN'))
    throw new Stop(1, 'HALLPASS_AGENT_KEY holds a key: it must be the path of the file that holds it')
  const key = resolve(cwd, named('HALLPASS_AGENT_KEY'))
  const certificates = named('NODE_EXTRA_CA_CERTS')
  return {
    env: {
      HALLPASS_URL: brokerUrl(named('HALLPASS_URL')).origin,
      HALLPASS_AGENT: named('HALLPASS_AGENT'),
      HALLPASS_AGENT_KEY: key,
      // Most clients start a server with next to none of their own environment.
      ...(certificates === '' ? {} : { NODE_EXTRA_CA_CERTS: resolve(cwd, certificates) }),
    },
    warnings: lstatSync(key, { throwIfNoEntry: false }) === undefined ? [`there is nothing at ${key} yet`] : [],
  }
}
