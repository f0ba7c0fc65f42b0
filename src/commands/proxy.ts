// `proxy TOOL`: the local side-car, for programs that take a URL and nothing else.

import { randomBytes } from 'node:crypto'
import { chmodSync } from 'node:fs'
import { type Command, InvalidArgumentError } from 'commander'
import { agentIdentity } from './agent-identity.ts'
import { type Cli, verb } from './command.ts'
import { freshCredential } from './fresh-credential.ts'
import { type Asked, obtainGrant, withAsking } from './obtain-grant.ts'
import { stopped } from './serve.ts'
import { fields, objectOf, textOf } from './show.ts'
import { createSideCar } from './side-car.ts'
import { Stop } from './stop.ts'

type Options = Omit<Asked, 'reason'> & {
  readonly reason?: string
  readonly listen?: { readonly host: string; readonly port: number }
  readonly socket?: string
  readonly secretPath?: boolean
}

const ABOUT = `
Calls to what it prints go to TOOL with this agent's credential: through the broker where the grant's delivery is proxy,
else straight to the tool. The credential is kept fresh, held in memory alone and revoked at the end; the grant stays.
Every user and program of this host can reach a port on loopback, and acts as the agent then. Where others share the
host, use --socket (its file is yours alone) or --secret-path. Web pages are refused, and no redirect is followed.`

export function addProxy(program: Command, cli: Cli): void {
  withAsking(verb(program, 'proxy <tool>', 'stand in front of a tool, for programs that only take a URL'))
    .option('--listen <address>', 'on loopback, such as 127.0.0.1:9091; port 0 takes one that is free', loopback)
    .option('--socket <path>', 'listen on a Unix socket of mode 0600 instead')
    .option('--secret-path', 'only under a random first path segment, which is printed')
    .option('--reason <text>', 'why, for the owner; default: names the tool')
    .addHelpText('after', ABOUT)
    .action(async (tool: string, { listen, socket, secretPath, ...options }: Options) => {
      if ((listen === undefined) === (socket === undefined))
        throw new Stop(1, 'say where to listen: --listen 127.0.0.1:PORT, or --socket PATH')
      const identity = agentIdentity(cli)
      const asked = { ...options, reason: options.reason ?? `To call ${tool} from a program that takes only a URL` }
      let grant = await obtainGrant(cli, identity, tool, asked)
      const credential = freshCredential(identity, async (again) => {
        // Nobody is waited for while a program waits: an owner who has to say yes is told once, and the call refused.
        if (again) grant = await obtainGrant(cli, identity, tool, { ...asked, wait: undefined })
        return textOf(grant.id)
      })
      const base = textOf(objectOf(grant.use).resource)
      await credential.get()
      const secretSegment = secretPath === true ? randomBytes(18).toString('base64url') : null
      const note = (line: string) => cli.terminal.note(line)
      const car = createSideCar({ base, credential, secretSegment, note })
      await new Promise<void>((resolve, reject) => {
        car.server.once('error', (error: NodeJS.ErrnoException) =>
          reject(new Stop(1, `it cannot listen there (${error.code ?? error.message})`)),
        )
        // The file must never be there for others, not even for a moment.
        const before = process.umask(0o177)
        car.server.listen(socket === undefined ? listen : { path: socket }, () => {
          process.umask(before)
          resolve()
        })
      })
      if (socket !== undefined) chmodSync(socket, 0o600)
      const at = car.server.address()
      const path = secretSegment === null ? '/' : `/${secretSegment}/`
      const host = listen?.host.includes(':') === true ? `[${listen.host}]` : listen?.host
      const url = typeof at === 'object' && at !== null ? `http://${host}:${at.port}${path}` : `http://localhost${path}`
      cli.terminal.item({ url, tool, goesTo: base, ...(socket === undefined ? {} : { socket }) }, () =>
        fields([
          ['URL', url],
          ...(socket === undefined ? [] : ([['socket', socket]] as const)),
          ['tool', `${tool} at ${base}`],
        ]),
      )
      await stopped(cli.signal)
      await car.close()
    })
}

/** `127.0.0.1:PORT`, `localhost:PORT` or `[::1]:PORT`. */
function loopback(text: string): { readonly host: string; readonly port: number } {
  const [, host = '', digits = ''] = /^(127\.0\.0\.1|localhost|\[::1\]):(\d{1,5})$/.exec(text) ?? []
  const port = Number(digits)
  if (host === '' || port > 65_535)
    throw new InvalidArgumentError('Write a port on loopback, such as 127.0.0.1:9091: nobody else may reach it.')
  return { host: host === '[::1]' ? '::1' : '127.0.0.1', port }
}
