// `agent new`: a manifest and a key pair. Nothing is written before the whole set with the new agent in it is right, and
// the private key never lands beside the manifests or in a work tree.

import { closeSync, existsSync, mkdirSync, openSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import { stringify } from 'yaml'
import { diffSets } from '../core/authority.ts'
import { compileSlices } from '../core/compile-slices.ts'
import type { ManifestSet } from '../core/manifest.ts'
import { type Cli, commaList, detailList, verb } from './command.ts'
import { newKeyPair } from './new-key-pair.ts'
import { faulty, parseOffline, readScopes } from './read-scopes.ts'
import { needLine, show } from './show.ts'
import { Stop } from './stop.ts'

type Access = { readonly tool: string; readonly scopes: readonly string[] }
type Options = {
  owner: readonly string[]
  access: readonly Access[]
  details?: Readonly<Record<string, readonly string[]>>
  purpose?: string
  out?: string
  force?: boolean
}

export function addAgentNew(agent: Command, cli: Cli): void {
  verb(agent, 'new <name>', 'write a manifest for a new agent, with a fresh key pair')
    .requiredOption('--owner <owner>', 'an e-mail address or team/NAME; may be repeated', commaList)
    .requiredOption('--access <tool=scopes>', 'such as tickets=ticket:read,ticket:comment; may be repeated', accessList)
    .option('--details <key=value>', 'narrow the access, such as queue=incidents; may be repeated', detailList)
    .option('--purpose <text>', 'what it is for, in words for its owners')
    .option('--out <file>', 'where the private key goes; default: ~/.config/hallpass/keys/NAME.pem')
    .option('--force', 'allow a private key inside a git work tree')
    .action(async (name: string, options: Options) => {
      const config = cli.config()
      if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name) || name.length > 63)
        throw new Stop(1, `"${name}" cannot name an agent`, [
          'Lower-case letters, digits and single hyphens, at most 63.',
        ])
      const before = await readScopes(config)
      const files = { manifest: `agents/${name}.yaml`, key: `agents/keys/${name}.pub.pem` }
      const there = Object.values(files).find((path) => existsSync(join(config.scopesPath, path)))
      if (there !== undefined)
        throw new Stop(1, `${join(config.scopesPath, there)} is there already: nothing was changed`)
      const keyPath = resolve(cli.cwd, options.out ?? defaultKeyPath(cli.env, name))
      refuseUnfitPlace(keyPath, config.scopesPath, options.force === true)

      const { privatePem, publicPem } = newKeyPair()
      const manifest = manifestText(name, options, before.set)
      const bytes = new TextEncoder()
      const parsed = parseOffline(
        new Map([...before.files, [files.manifest, bytes.encode(manifest)], [files.key, bytes.encode(publicPem)]]),
        config,
      )
      if (!parsed.ok) throw faulty(parsed.faults)

      writePrivate(keyPath, privatePem)
      try {
        mkdirSync(join(config.scopesPath, 'agents', 'keys'), { recursive: true })
        // The key first: a watcher must never see a manifest whose key is missing.
        writeFileSync(join(config.scopesPath, files.key), publicPem, { flag: 'wx' })
        writeFileSync(join(config.scopesPath, files.manifest), manifest, { flag: 'wx' })
      } catch (thrown) {
        rmSync(keyPath, { force: true })
        throw new Stop(
          1,
          `${config.scopesPath} cannot be written: ${thrown instanceof Error ? thrown.message : 'unknown reason'}`,
        )
      }

      const needs = whoAccepts(before.set, parsed.set)
      const shown = (path: string) => relative(cli.cwd, join(config.scopesPath, path)) || path
      cli.terminal.answer(
        {
          agent: name,
          manifest: join(config.scopesPath, files.manifest),
          publicKey: join(config.scopesPath, files.key),
          privateKey: keyPath,
          needs,
        },
        () => [
          `Wrote ${shown(files.manifest)} and ${shown(files.key)}`,
          `Private key: ${keyPath} (only this user can read it; give it to the agent alone)`,
          '',
          'It has no access yet. What must be accepted first:',
          ...needs.map((need) => `  ${needLine(need)}`),
          '',
          'Next:',
          config.scopesMode === 'watch'
            ? '  a broker that watches this folder proposes it by itself within a second'
            : '  hallpass scopes apply              # propose it',
          '  hallpass revision list             # what waits, and its id',
          '  hallpass revision accept ID        # with an owner’s HALLPASS_TOKEN',
          `  export HALLPASS_AGENT=${name} HALLPASS_AGENT_KEY=${shellQuoted(keyPath)}`,
        ],
      )
    })
}

const shellQuoted = (text: string): string =>
  /^[\w./@%+=:,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`

function accessList(text: string, before: readonly Access[] = []): readonly Access[] {
  const [, tool, scopes] = /^([^=]+)=(.+)$/s.exec(text) ?? []
  if (tool === undefined || scopes === undefined) throw new InvalidArgumentError('Write TOOL=SCOPE,SCOPE.')
  return [...before, { tool: tool.trim(), scopes: commaList(scopes) }]
}

const defaultKeyPath = (env: Cli['env'], name: string): string =>
  join((env.XDG_CONFIG_HOME ?? '').trim() || join(homedir(), '.config'), 'hallpass', 'keys', `${name}.pem`)

/** Where it would be committed, published, or read as a manifest's file. */
function refuseUnfitPlace(keyPath: string, scopesPath: string, force: boolean): void {
  if (existsSync(keyPath))
    throw new Stop(1, `${keyPath} is there already: a private key is never written over`, [
      'Choose another place with --out.',
    ])
  const folder = realFolder(dirname(keyPath))
  const scopes = realFolder(scopesPath)
  if (folder === scopes || folder.startsWith(scopes + sep))
    throw new Stop(1, 'a private key does not belong among the manifests', ['Choose another place with --out.'])
  const workTree = workTreeAround(folder)
  if (workTree !== null && !force)
    throw new Stop(1, `${keyPath} is in the git work tree ${workTree}, where it could be committed`, [
      'Choose another place with --out, or say --force.',
    ])
}

/** The real path of a folder that may not be there yet. */
function realFolder(path: string): string {
  for (let up = path; ; up = dirname(up)) {
    if (existsSync(up)) return join(realpathSync(up), relative(up, path))
    if (dirname(up) === up) return path
  }
}

function workTreeAround(folder: string): string | null {
  for (let up = folder; ; up = dirname(up)) {
    if (existsSync(join(up, '.git'))) return up
    if (dirname(up) === up) return null
  }
}

function writePrivate(path: string, pem: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    const file = openSync(path, 'wx', 0o600)
    try {
      writeFileSync(file, pem)
    } finally {
      closeSync(file)
    }
    if (readFileSync(path, 'utf8') !== pem) throw new Error('it was not written whole')
  } catch (thrown) {
    throw new Stop(1, `${path} cannot be written: ${thrown instanceof Error ? thrown.message : 'unknown reason'}`)
  }
}

/** Details go to every access whose tool declares the key. */
function manifestText(name: string, { owner, access, details = {}, purpose }: Options, set: ManifestSet): string {
  const declared = (tool: string) =>
    Object.fromEntries(
      Object.entries(details).filter(([key]) => Object.hasOwn(set.tools.get(tool)?.details ?? {}, key)),
    )
  const lost = Object.keys(details).find((key) => !access.some(({ tool }) => Object.hasOwn(declared(tool), key)))
  if (lost !== undefined) throw new Stop(1, `none of these tools declares the detail "${show(lost)}"`)
  const document = {
    apiVersion: 'hallpass/v1',
    kind: 'Agent',
    metadata: { name },
    spec: {
      purpose: purpose ?? `The agent ${name}: say here what it is for`,
      owners: owner,
      identity: [{ publicKeyFile: `keys/${name}.pub.pem` }],
      access: access.map(({ tool, scopes }) => {
        const narrowed = declared(tool)
        return { tool, scopes, ...(Object.keys(narrowed).length === 0 ? {} : { details: narrowed }) }
      }),
    },
  }
  return `# yaml-language-server: $schema=../.schema/agent.json\n${stringify(document, { lineWidth: 120 })}`
}

/** By the same table that the broker will use (S1), as if the folder without it were in force. */
function whoAccepts(before: ManifestSet, after: ManifestSet): readonly unknown[] {
  const { widenings } = diffSets(compileSlices(before), compileSlices(after))
  const needs = widenings.flatMap((widening) => widening.needs)
  return [...new Map(needs.map((need) => [`${need.as} ${need.of}`, need])).values()]
}
