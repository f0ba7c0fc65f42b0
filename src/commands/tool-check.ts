// `tool check`: the token matrix against a live tool, and what it accepted that it must not. It holds no power of its own:
// what is genuine is an ordinary agent's, asked for, approved and on the trail like any other, and revoked at the end.

import type { Command } from 'commander'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { isLoopbackHost } from '../config.ts'
import { type AgentIdentity, agentIdentity } from './agent-identity.ts'
import { type Cli, commaList, duration, verb } from './command.ts'
import { type Asked, obtainGrant, withAsking } from './obtain-grant.ts'
import { brokerUrl, remoteAt } from './remote.ts'
import { listOf, objectOf, show, table, textOf } from './show.ts'
import { Stop } from './stop.ts'
import type { Target } from './tool-check-ask.ts'
import { forgeriesOf } from './tool-check-forgeries.ts'
import { expiredRow, immediateRows, notTried, type Row, revokedRow } from './tool-check-rows.ts'

type Options = Omit<Asked, 'reason'> & {
  readonly reason?: string
  readonly url: string
  readonly method: string
  readonly expectOutOfScope?: string
  readonly otherTool?: string
  readonly otherScope?: readonly string[]
  readonly echo?: string
  readonly expired?: true
  readonly leeway: number
  readonly revokedWithin: number
  readonly alone?: true
  readonly anywhere?: true
}

const ABOUT = `
As an agent that may have the tool (HALLPASS_URL, HALLPASS_AGENT, HALLPASS_AGENT_KEY): best one of its own, with the one
scope that --url needs. Its credentials are asked for, on the trail, and revoked at the end; a forged one needs no key of
ours. A row that needs more than was given says "not tried", never ok.
  --url has to be within the tool's resource: a live credential goes there.
  --expect-out-of-scope is really called, without a body: choose what does no harm where it is let through.
  --other-tool: its credential is sent to this tool once, alive: best a tool that exists in the manifests alone.
  hallpass tool check metrics --url 'http://127.0.0.1:8090/api/v1/query?query=up' --scope metrics:read \\
    --expect-out-of-scope 'http://127.0.0.1:8090/api/v1/targets'
Exit 0: each row that was tried is as it must be; 2: something is not, or its answer says nothing; 3: an owner has to say yes.`

export function addToolCheck(tool: Command, cli: Cli): void {
  withAsking(
    verb(tool, 'check <tool>', 'send the token matrix at a live tool, and print what it accepted that it must not')
      .requiredOption('--url <url>', 'what the scope allows: called again and again')
      .option('--method <method>', 'how it is called', 'GET')
      .option('--expect-out-of-scope <[METHOD ]URL>', 'what the same credential must not reach')
      .option('--other-tool <tool>', 'a tool whose credential this one must not accept')
      .option('--other-scope <scopes>', 'what to ask of that tool; default: the same as --scope', commaList)
      .option('--echo <url>', 'a URL of the tool that answers with the request it got')
      .option('--expired', 'also wait until a credential has expired')
      .option('--leeway <duration>', 'how long past exp the tool may accept; as its manifest says', duration, 60)
      .option('--revoked-within <duration>', 'how soon a revoked credential must be refused', duration, 5)
      .option('--alone', 'the tool verifies alone: a revoked credential may pass until it expires')
      .option('--anywhere', '--url need not be within the tool’s resource'),
  )
    .option('--reason <text>', 'why, for the owner; default: says that it is a check')
    .addHelpText('after', ABOUT)
    .action((name: string, options: Options) => check(cli, name, options))
}

async function check(cli: Cli, tool: string, options: Options): Promise<void> {
  const target: Target = { method: methodOf(options.method), url: urlOf(options.url, '--url') }
  const outOfScope = options.expectOutOfScope === undefined ? null : targetOf(options.expectOutOfScope)
  const echo = options.echo === undefined ? null : urlOf(options.echo, '--echo')
  const reason = options.reason ?? `To check which credentials ${tool} accepts`
  const identity = agentIdentity(cli)
  const grantOf = async (of: string, scope: readonly string[]) =>
    textOf((await obtainGrant(cli, identity, of, { ...options, scope, reason })).id)
  const grant = await grantOf(tool, options.scope)
  const otherGrant =
    options.otherTool === undefined ? null : await grantOf(options.otherTool, options.otherScope ?? options.scope)

  const minted: string[] = []
  const mint = async (under: string) => {
    const { token, expiresInSeconds } = await identity.exchange(under)
    minted.push(token)
    return { token, endsAt: performance.now() + expiresInSeconds * 1000, expiresInSeconds }
  }
  try {
    const valid = await mint(grant)
    if (valid.token.split('.').length !== 3)
      throw new Stop(
        1,
        `${tool} has accounts of its own: its credentials are no tokens of ours, so there is none to forge`,
      )
    if (options.anywhere !== true)
      for (const url of [target.url, outOfScope?.url, echo])
        if (url) mustBeWithin(textOf(decodeJwt(valid.token).aud), url)
    const willExpire = options.expired === true ? await mint(grant) : null
    const other = otherGrant === null ? null : await mint(otherGrant)
    cli.terminal.note(`${target.method} ${show(target.url.href)}`)
    const rows: Row[] = [
      ...(await immediateRows(
        {
          target,
          outOfScope,
          echo,
          valid: valid.token,
          forgeries: forgeriesOf(valid.token, await publicKeyOf(cli, valid.token), Math.floor(Date.now() / 1000)),
          sessionToken: await deadSession(cli, identity),
          otherTool: other === null ? null : { tool: options.otherTool ?? '', token: other.token },
        },
        ({ row, verdict }) => cli.terminal.note(`  ${row}: ${verdict}`),
      )),
    ]
    rows.push(await revoked(cli, identity, target, valid.token, options))
    if (willExpire === null)
      rows.push(notTried('expired', `takes ${valid.expiresInSeconds + options.leeway}s: --expired waits for it`))
    else {
      const left = Math.ceil((willExpire.endsAt - performance.now()) / 1000) + options.leeway + 1
      cli.terminal.note(`  waiting ${left}s for a credential to expire (its leeway included)`)
      await pause(left * 1000, cli.signal)
      rows.push(await expiredRow(target, willExpire.token))
    }
    answer(cli, tool, target, rows)
  } finally {
    for (const token of minted) await takeBack(cli, identity, token)
  }
}

function answer(cli: Cli, tool: string, target: Target, rows: readonly Row[]): void {
  const wrong = rows.filter(({ verdict }) => verdict === 'WRONG')
  const unclear = rows.filter(({ verdict }) => verdict === 'unclear')
  const ok = wrong.length + unclear.length === 0
  const passes = rows[0]?.verdict === 'ok'
  cli.terminal.answer({ tool, url: target.url.href, method: target.method, ok, rows }, () => [
    ...table(rows, ['row', ['answer', (row) => show(objectOf(row).status)], 'verdict', 'says'], 'Nothing was tried.'),
    '',
    ...(passes ? [] : ['A valid credential did not pass, so the refusals above prove little.']),
    ok
      ? `${rows.filter(({ verdict }) => verdict === 'ok').length} as they must be, ${rows.filter(({ verdict }) => verdict === 'not tried').length} not tried.`
      : `${wrong.length} wrong, ${unclear.length} unclear: ${[...wrong, ...unclear].map(({ row }) => row).join('; ')}.`,
  ])
  if (!ok) cli.exitWith(2)
}

async function revoked(
  cli: Cli,
  identity: AgentIdentity,
  target: Target,
  token: string,
  { alone, revokedWithin }: Options,
): Promise<Row> {
  if (alone === true) return notTried('revoked', 'it verifies alone: a revoked credential passes until it expires')
  await identity.revoke(token)
  return revokedRow(target, token, revokedWithin * 1000, cli.signal)
}

/** A session's token, revoked before anyone is shown it: genuine, for another audience, and worth nothing. */
async function deadSession(cli: Cli, identity: AgentIdentity): Promise<string> {
  const { token } = await agentIdentity(cli).session()
  await identity.revoke(token)
  return token
}

async function publicKeyOf(cli: Cli, token: string): Promise<Readonly<Record<string, unknown>>> {
  const url = brokerUrl((cli.env.HALLPASS_URL ?? '').trim())
  const { kid } = decodeProtectedHeader(token)
  const set = objectOf(await remoteAt({ by: 'url', url, token: null }).call({ path: '/.well-known/jwks.json' }))
  const found = listOf(set.keys)
    .map(objectOf)
    .find((key) => key.kid === kid)
  if (found === undefined) throw new Stop(2, `the key ${textOf(kid)} is not in the broker’s key set`)
  return found
}

async function takeBack(cli: Cli, identity: AgentIdentity, token: string): Promise<void> {
  try {
    await identity.revoke(token)
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : 'something broke'
    cli.terminal.note(`hallpass: a credential of the check could not be revoked (${why}); it lives until it expires`)
  }
}

/** Resolves after that long, rejects when the person has had enough. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const given = () => {
      clearTimeout(timer)
      reject(new Stop(1, 'interrupted'))
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', given)
      resolve()
    }, milliseconds)
    signal.addEventListener('abort', given, { once: true })
    if (signal.aborted) given()
  })
}

function methodOf(text: string): string {
  if (!/^[A-Z]{1,16}$/.test(text)) throw new Stop(1, `--method: ${text} is none, such as GET or POST`)
  return text
}

function targetOf(text: string): Target {
  const [, method, url] = /^(?:([A-Z]{1,16}) +)?(\S+)$/.exec(text.trim()) ?? []
  return { method: method ?? 'GET', url: urlOf(url ?? '', '--expect-out-of-scope') }
}

/** Https off loopback: credentials go there. */
function urlOf(text: string, option: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '')
    throw new Stop(1, `${option} is not an http(s) URL without user and password`)
  if (url.protocol === 'http:' && !isLoopbackHost(url.hostname))
    throw new Stop(1, `${option} must be https:// off loopback: a credential would go over the wire in the clear`)
  url.hash = ''
  return url
}

function mustBeWithin(resource: string, url: URL): void {
  const base = new URL(resource)
  const path = base.pathname.replace(/\/$/, '')
  if (url.origin === base.origin && (url.pathname === path || url.pathname.startsWith(`${path}/`))) return
  throw new Stop(1, `${url.origin}${url.pathname} is not within the tool’s resource ${resource}`, [
    'A live credential would go there. If that is meant (a proxy at an address of its own), add --anywhere.',
  ])
}
