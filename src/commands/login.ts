// `login`, `whoami`, `logout`: a person's token, kept for them so that it is in no shell's history. It comes in over stdin
// alone, is tried before it is kept, and is never shown.

import type { Command } from 'commander'
import { parseBearer } from '../core/bearer.ts'
import { TOKEN_BYTES_MAX } from '../core/limits.ts'
import { type Cli, verb } from './command.ts'
import { keptPathOf, readKept, withoutAll, writeKept } from './kept-tokens.ts'
import { brokerUrl, type Place, remoteAt } from './remote.ts'
import { fields, objectOf, show } from './show.ts'
import { Stop } from './stop.ts'

export function addLogin(program: Command, cli: Cli): void {
  verb(program, 'login', 'keep a token for this user, one for each broker')
    .option('--token-stdin', 'read the token from stdin, the only way there is')
    .option('--url <url>', 'the broker; default: HALLPASS_URL')
    .addHelpText(
      'after',
      `
Kept in ${keptPathOf(cli.env)} (0600). HALLPASS_URL and HALLPASS_TOKEN come first where both are set; HALLPASS_URL alone
picks among the brokers that one logged in to; with neither it is the last one.`,
    )
    .action(async (options: { tokenStdin?: boolean; url?: string }) => {
      if (options.tokenStdin !== true)
        throw new Stop(1, 'a token is read from stdin alone, so that no history keeps it', [
          'hallpass login --token-stdin < FILE',
        ])
      const url = urlOf(cli, options.url)
      if (url === null)
        throw new Stop(1, 'which broker? Neither --url nor HALLPASS_URL says it', [
          'HALLPASS_URL=https://hallpass.example.com hallpass login --token-stdin',
        ])
      const token = await tokenFrom(process.stdin)
      const who = await remoteAt({ by: 'url', url, token, kept: true }).call({ path: '/v1/whoami' })
      const path = keptPathOf(cli.env)
      const before = readKept(path)
      writeKept(path, { current: url.origin, tokens: { ...before.tokens, [url.origin]: token } })
      cli.terminal.answer({ url: url.origin, ...objectOf(who) }, () => [`Kept for ${url.origin}:`, ...whoLines(who)])
    })

  verb(program, 'whoami', 'say whose token is in use, where, and where it came from').action(async () => {
    const remote = cli.remote()
    const who = await remote.call({ path: '/v1/whoami' })
    const { place } = remote
    const where = place.by === 'url' ? place.url.origin : place.path
    const from = sourceOf(place)
    cli.terminal.answer({ ...objectOf(who), where, from }, () => [
      ...whoLines(who),
      ...fields([
        ['where', where],
        ['from', from],
      ]),
    ])
  })

  verb(program, 'logout', 'forget the token that login kept')
    .option('--url <url>', 'for which broker; default: HALLPASS_URL, or the last one')
    .option('--all', 'for every broker')
    .action((options: { url?: string; all?: boolean }) => {
      const path = keptPathOf(cli.env)
      const forgotten = options.all === true ? forgetAll(path) : forget(path, urlOf(cli, options.url)?.origin ?? null)
      cli.terminal.answer({ forgotten }, () =>
        forgotten.length === 0
          ? ['No token was kept.']
          : [
              `Forgotten: ${forgotten.map(show).join(', ')}.`,
              'Whoever has a copy can still use it until it expires; on the broker’s host `hallpass token-revoke` ends it.',
            ],
      )
    })
}

function urlOf(cli: Cli, given: string | undefined): URL | null {
  const text = given ?? (cli.env.HALLPASS_URL ?? '').trim()
  return text === '' ? null : brokerUrl(text)
}

/** A file that is not to be trusted is removed too: that is what --all is for. */
function forgetAll(path: string): readonly string[] {
  let origins: readonly string[] = ['everything']
  try {
    origins = Object.keys(readKept(path).tokens)
  } catch (thrown) {
    if (!(thrown instanceof Stop)) throw thrown
  }
  withoutAll(path)
  return origins
}

function forget(path: string, origin: string | null): readonly string[] {
  const { current, tokens } = readKept(path)
  const gone = origin ?? current
  if (gone === null || !Object.hasOwn(tokens, gone)) return []
  const rest = Object.fromEntries(Object.entries(tokens).filter(([url]) => url !== gone))
  writeKept(path, { current: current === gone ? null : current, tokens: rest })
  return [gone]
}

function sourceOf(place: Place): string {
  if (place.by === 'socket') return place.token === null ? 'the local socket' : 'HALLPASS_TOKEN'
  return place.kept === true ? 'login' : 'HALLPASS_TOKEN'
}

const whoLines = (who: unknown): string[] => {
  const { role, subject, expiresAt } = objectOf(who)
  return fields([
    ['role', role],
    ['subject', subject],
    ['expires', expiresAt],
  ])
}

async function tokenFrom(stdin: NodeJS.ReadableStream): Promise<string> {
  let text = ''
  for await (const chunk of stdin) {
    text += String(chunk)
    if (text.length > TOKEN_BYTES_MAX + 2) throw new Stop(1, 'what came over stdin is too long for a token')
  }
  const token = text.trim()
  if (token === '') throw new Stop(1, 'nothing came over stdin')
  const isWhole = token.startsWith('hp_') ? parseBearer(token) !== null : /^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)
  if (!isWhole) throw new Stop(1, 'what came over stdin is no token of Hallpass’s, or not all of one')
  return token
}
