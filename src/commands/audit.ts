// `audit`: the trail, read, exported and verified. Verifying needs no broker: a file and the log's public key.

import { createReadStream, createWriteStream, readFileSync, rmSync, statSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as wait } from 'node:timers/promises'
import type { Command } from 'commander'
import { parseVerifierKey } from '../core/checkpoint.ts'
import { exportLines, verifyExport } from '../core/verify-export.ts'
import { type Cli, instant, verb } from './command.ts'
import type { Remote } from './remote.ts'
import { at, listOf, numberOf, objectOf, show, textOf } from './show.ts'
import { Stop } from './stop.ts'

/** A key file is one line. Bytes. */
const MAX_KEY_BYTES = 4096
const POLL_MS = 1000

const ABOUT_PARTS = `
Without a filter it is the whole log, and verifying it finds any record that was altered, dropped, added or moved. With
one, each record carries the proof that it is in the log that was signed, where it says; that no record was left out of
a part, nobody can tell from the part.`

type Filter = {
  agent?: string
  owner?: string
  tool?: string
  jti?: string
  kind?: string
  since?: string
  until?: string
}

export function addAudit(audit: Command, cli: Cli): void {
  const { terminal } = cli
  const query = ({ agent, owner, tool, jti, kind, since, until }: Filter) => ({
    agent,
    owner,
    tool,
    jti,
    kind,
    since,
    until,
  })

  filtered(verb(audit, 'list', 'print records, oldest first'))
    .option('--limit <n>', 'at most this many', '1000')
    .action(async (options: Filter & { limit: string }) => {
      const max = Number(options.limit)
      if (!Number.isSafeInteger(max) || max < 1) throw new Stop(1, '--limit must be a number above 0')
      const records = await cli.remote().all({ path: '/v1/audit', query: query(options), act: 'audit.read' }, max)
      terminal.answer(records, () => (records.length === 0 ? ['No records.'] : records.map(recordLine)))
    })

  filtered(verb(audit, 'tail', 'print records as they come; with --since, those since then first')).action(
    async (options: Filter) => {
      const remote = cli.remote()
      const start = options.since === undefined ? await endOfLog(remote) : { since: options.since }
      let after = start.after
      while (!cli.signal.aborted) {
        const page = objectOf(
          await remote.call({
            path: '/v1/audit',
            query: { ...query(options), since: start.since, after, limit: 500 },
            act: 'audit.read',
            signal: cli.signal,
          }),
        )
        for (const record of listOf(page.items)) {
          terminal.item(record, () => [recordLine(record)])
          after = String(numberOf(objectOf(record).index))
        }
        after = textOf(page.next) || after
        if (page.next === null) await wait(POLL_MS, null, { signal: cli.signal }).catch(() => null)
      }
    },
  )

  verb(audit, 'key', 'print the public key that the log is signed with: the content of hallpass.pub').action(
    async () => {
      const key = (await cli.remote().text({ path: '/v1/audit/key', act: 'audit.read' })).trim()
      terminal.answer({ key }, () => [show(key)])
    },
  )

  filtered(verb(audit, 'export', 'write the log, or the part that filters name, its signed checkpoint last'))
    .requiredOption('-o, --output <file>', 'where to; `-` is stdout')
    .addHelpText('after', ABOUT_PARTS)
    .action(async ({ output, ...options }: Filter & { output: string }) => {
      const call = { path: '/v1/audit/export', query: query(options), act: 'audit.export' } as const
      const from = await cli.remote().stream(call)
      if (output === '-') {
        for await (const chunk of from) process.stdout.write(chunk)
        return
      }
      const path = resolve(cli.cwd, output)
      const temporary = `${path}.${process.pid}.partial`
      try {
        await pipeline(from, createWriteStream(temporary, { mode: 0o600, flags: 'wx', flush: true }))
        await rename(temporary, path)
      } catch (thrown) {
        rmSync(temporary, { force: true })
        throw new Stop(
          1,
          `${output} cannot be written, or the export was cut short: ${thrown instanceof Error ? thrown.message : 'unknown reason'}`,
        )
      }
      const { size } = statSync(path)
      terminal.answer({ file: path, bytes: size }, () => [
        `Wrote ${output} (${size.toLocaleString('en-US')} bytes). Check it anywhere: hallpass audit verify ${output} --key hallpass.pub`,
      ])
    })

  verb(audit, 'verify <file>', 'check an exported log, offline, with nothing but its public key')
    .requiredOption('--key <file>', 'what `hallpass audit key` printed')
    .action(async (file: string, options: { key: string }) => {
      const key = parseVerifierKey(readKey(resolve(cli.cwd, options.key), options.key))
      if (!key.ok) throw new Stop(1, `${options.key}: ${key.error}`)
      const path = resolve(cli.cwd, file)
      if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true)
        throw new Stop(1, `${file} is not a file that can be read`)
      const verified = await verifyExport(exportLines(createReadStream(path)), key.value)
      if (!verified.ok) {
        const { line, message } = verified.error
        throw new Stop(2, `${file}:${line} ${message}`, ['This is not the log that was signed.'])
      }
      const { records, of, root, signedAt } = verified.value
      const count = records.toLocaleString('en-US')
      const noun = (of ?? records) === 1 ? 'record' : 'records'
      const found =
        of === undefined
          ? `${count} ${noun}, no gap, root`
          : `${count} of ${of.toLocaleString('en-US')} ${noun}, each proved in the log of root`
      terminal.answer({ ok: true, ...verified.value }, () => [
        `${terminal.paint('green', 'OK')} ${found} ${root.slice(0, 4)}…, signed ${signedAt.slice(11, 19)}Z`,
      ])
    })
}

/** Where the log ends now; whoever may not know its size goes by the time. */
async function endOfLog(remote: Remote): Promise<{ readonly after?: string; readonly since?: string }> {
  try {
    const records = numberOf(objectOf(await remote.call({ path: '/v1/status' })).records)
    return records === 0 ? {} : { after: String(records - 1) }
  } catch (thrown) {
    if (thrown instanceof Stop && thrown.problem?.code === 'forbidden') return { since: new Date().toISOString() }
    throw thrown
  }
}

function filtered(command: Command): Command {
  return command
    .option('--agent <name>', 'about this agent')
    .option('--owner <email>', 'about or by this person')
    .option('--tool <name>', 'about this tool')
    .option('--jti <id>', 'about this credential')
    .option('--kind <kind>', 'of this kind, such as credential.minted')
    .option('--since <when>', 'a time (RFC 3339), or how long ago: 2h', instant)
    .option('--until <when>', 'likewise', instant)
}

function readKey(path: string, shown: string): string {
  const there = statSync(path, { throwIfNoEntry: false })
  if (there?.isFile() !== true)
    throw new Stop(1, `${shown} is not a file that can be read`, ['`hallpass audit key > hallpass.pub` makes it.'])
  if (there.size > MAX_KEY_BYTES) throw new Stop(1, `${shown} is too large to be a key`)
  return readFileSync(path, 'utf8')
}

function recordLine(value: unknown): string {
  const record = objectOf(value)
  const subject = Object.entries(objectOf(record.subject)).map(([what, which]) => `${what}=${show(which)}`)
  return [
    at(record, 'index').padStart(6),
    at(record, 'at'),
    at(record, 'kind').padEnd(24),
    at(record, 'actor.id').padEnd(20),
    ...subject,
  ].join('  ')
}
