// `scopes`: manifests checked offline, compared with what is in force, and proposed. Nothing here accepts anything.

import { isUtf8 } from 'node:buffer'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { ManifestFiles, ManifestKind } from '../core/manifest.ts'
import { faultLine, jsonSchemas } from '../core/manifest-parse.ts'
import { safeText } from '../core/safe-text.ts'
import { type Cli, verb } from './command.ts'
import { parseOffline, readFiles } from './read-scopes.ts'
import { at, diffLines, listOf, numberOf, objectOf, show, wideningLines } from './show.ts'
import { Stop } from './stop.ts'

const KINDS: readonly ManifestKind[] = ['Agent', 'Tool', 'Role', 'Team']

export function addScopes(scopes: Command, cli: Cli): void {
  const { terminal } = cli
  const folder = (given: string | undefined) =>
    given === undefined ? cli.config().scopesPath : resolve(cli.cwd, given)

  verb(scopes, 'check [dir]', 'find every fault in the manifests, offline: `file:line:col message`').action(
    async (dir: string | undefined) => {
      const config = cli.config()
      const path = folder(dir)
      const parsed = parseOffline(await readFiles(path), { ...config, scopesPath: path })
      const faults = parsed.ok ? [] : parsed.faults
      const warnings = parsed.ok ? parsed.set.warnings : []
      terminal.answer({ ok: parsed.ok, faults, warnings, ...(parsed.ok ? { digest: parsed.set.digest } : {}) }, () => {
        if (!parsed.ok) return faults.map((fault) => safeText(faultLine(fault)))
        const { agents, tools, roles, teams } = parsed.set
        return [
          `${terminal.paint('green', 'OK')} ${agents.size} agents, ${tools.size} tools, ${roles.size} roles, ${teams.size} teams`,
        ]
      })
      for (const warning of warnings) terminal.note(`warning: ${safeText(faultLine(warning))}`)
      if (parsed.ok) return
      terminal.note(`${faults.length} ${faults.length === 1 ? 'fault' : 'faults'} in ${path}`)
      cli.exitWith(1)
    },
  )

  verb(scopes, 'schema [kind]', 'print the JSON Schema of a kind (agent, tool, role, team), or of all').action(
    (kind: string | undefined) => {
      const schemas = jsonSchemas()
      const found = KINDS.find((one) => one.toLowerCase() === kind?.toLowerCase())
      if (kind !== undefined && found === undefined)
        throw new Stop(1, `there is no kind "${kind}"`, [`Kinds: ${KINDS.join(', ')}`])
      const schema = found === undefined ? schemas : schemas[found]
      terminal.answer(schema, () => [JSON.stringify(schema, null, 2)])
    },
  )

  verb(scopes, 'plan [dir]', 'show what applying the manifests would give, who must accept it, and what would die')
    .option('--exit-code', 'exit 3 where something would wait for a person')
    .action(async (dir: string | undefined, options: { exitCode?: boolean }) => {
      const files = await readFiles(folder(dir))
      const plan = objectOf(
        await cli.remote().call({ path: '/v1/revisions/plan', body: { files: sent(files) }, act: 'revision.see' }),
      )
      terminal.answer(plan, () => planLines(plan))
      if (listOf(plan.faults).length > 0) cli.exitWith(2)
      else if (options.exitCode === true && listOf(plan.widenings).length > 0) cli.exitWith(3)
    })

  verb(
    scopes,
    'apply [dir]',
    'propose the manifests: what they take away acts at once, what they give waits for its owners',
  )
    .option('--base <digest>', 'the revision that they were made from; default: the one in force')
    .option('--exit-code', 'exit 3 where something waits for a person')
    .action(async (dir: string | undefined, options: { base?: string; exitCode?: boolean }) => {
      const files = sent(await readFiles(folder(dir)))
      const remote = cli.remote()
      const inForce = async () =>
        objectOf(await remote.call({ path: '/v1/revisions/plan', body: { files }, act: 'revision.propose' })).inForce ??
        null
      const base = options.base ?? (await inForce())
      const applied = objectOf(
        await remote.call({ path: '/v1/revisions', body: { files, base }, act: 'revision.propose' }),
      )
      terminal.answer(applied, () => appliedLines(applied))
      if (options.exitCode === true && numberOf(objectOf(applied.revision).waiting) > 0) cli.exitWith(3)
    })
}

/** Relative path → text, or base64 where it is no UTF-8: the broker says what is wrong with that. */
const sent = (files: ManifestFiles): Record<string, string | { base64: string }> =>
  Object.fromEntries(
    [...files].map(([path, bytes]) => [
      path,
      isUtf8(bytes) ? Buffer.from(bytes).toString('utf8') : { base64: Buffer.from(bytes).toString('base64') },
    ]),
  )

function planLines(plan: Readonly<Record<string, unknown>>): string[] {
  const dies = objectOf(plan.dies)
  const [faults, narrowings, widenings] = [listOf(plan.faults), listOf(plan.narrowings), listOf(plan.widenings)]
  if (faults.length > 0) return ['It would be refused as a whole:', ...faults.map((fault) => `  ${show(fault)}`)]
  return [
    ...(narrowings.length === 0 ? [] : ['Taken away at once:']),
    ...narrowings.flatMap((one) => [`  ${show(objectOf(one).slice)}`, ...diffLines(objectOf(one).lines)]),
    ...(widenings.length === 0 ? [] : ['Given once accepted:']),
    ...widenings.flatMap(wideningLines),
    ...(narrowings.length + widenings.length === 0 ? ['Nothing is given or taken away.'] : []),
    ...listOf(plan.orphaned).map(
      (one) => `${at(one, 'of')} ${at(one, 'name')} has no owner left: ${at(one, 'fallback')} decides`,
    ),
    `Would die: ${['sessions', 'grants', 'credentials'].map((what) => `${listOf(dies[what]).length} ${what}`).join(', ')}`,
    ...listOf(plan.warnings).map((warning) => `warning: ${show(warning)}`),
  ]
}

function appliedLines(applied: Readonly<Record<string, unknown>>): string[] {
  const revision = objectOf(applied.revision)
  if (applied.changed === false) return ['These manifests are in force already.']
  const waiting = listOf(revision.widenings).filter((one) => objectOf(one).status === 'waiting')
  return [
    `Revision ${show(revision.id)} is in force.`,
    ...listOf(revision.narrowings).map((line) => `  ${show(line)}`),
    ...(waiting.length === 0
      ? []
      : [`What it gives waits for its owners (\`hallpass revision accept ${show(revision.id)}\`):`]),
    ...waiting.flatMap(wideningLines),
    ...listOf(applied.receipts).map((receipt) => `receipt ${at(receipt, 'id')}: ${at(receipt, 'status')}`),
    ...listOf(revision.warnings).map((warning) => `warning: ${show(warning)}`),
  ]
}
