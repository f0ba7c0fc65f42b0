// Files to a manifest set, or to everything that is wrong with them as `file:line:column message`.
// Pure: reads no file, no clock, no network. Never throws, whatever the bytes are; never believes half a set.

import type { Json } from './canonical.ts'
import { digest } from './canonical.ts'
import { confusableSkeleton } from './confusable.ts'
import { isManifestFile } from './file-beside.ts'
import type {
  AgentManifest,
  Fault,
  IdentityKey,
  KnownNames,
  ManifestFiles,
  ManifestKind,
  ManifestSet,
  Source,
  ToolManifest,
} from './manifest.ts'
import { linkAgent } from './manifest-agent.ts'
import type { Faults } from './manifest-faults.ts'
import { collectFaults, printable, quoted, UNPRINTABLE } from './manifest-faults.ts'
import type { Linking } from './manifest-link.ts'
import { linkRole, linkTeam, linkTool } from './manifest-link.ts'
import type { Read, ReadSet } from './manifest-read.ts'
import { emptyReadSet, readDocument } from './manifest-read.ts'
import { MANIFEST_KINDS } from './manifest-schema.ts'
import { MAX_FILES, MAX_TOTAL_BYTES } from './manifest-text.ts'
import { readYaml } from './manifest-yaml.ts'
import { ownRecipes } from './own-recipe.ts'
import type { Recipe } from './recipe.ts'

export { confusableSkeleton } from './confusable.ts'
export { faultLine } from './manifest-faults.ts'
export { jsonSchemas, SCHEMA_FIELDS } from './manifest-schema.ts'

const MAX_PATH = 300

export type ParseOptions = {
  /** The origin that serves Hallpass, which no tool may share (S13); null where it is not known, as offline. */
  readonly issuerOrigin: string | null
  /** Absolute path of the folder that `file:` references may name into (S5); null for none. */
  readonly secretsFolder?: string | null
  /** Names once in force; null where nothing is known, and every name that is not in the set is a fault. */
  readonly known: KnownNames | null
  /** By name, those that a target of type http may use; absent where they are not known, and none is checked. */
  readonly recipes?: ReadonlyMap<string, Recipe>
}

export type Parsed = { readonly ok: true; readonly set: ManifestSet } | { readonly ok: false; readonly faults: Fault[] }

/** Whether the set is small enough, and its paths are plain relative ones. */
const areFitFiles = (files: ManifestFiles, faults: Faults): boolean => {
  const whole = { file: '.', line: 1, column: 1 }
  if (files.size > MAX_FILES) {
    faults.add(whole, `the folder holds more than ${MAX_FILES} files`)
    return false
  }
  let total = 0
  for (const [path, bytes] of files) {
    total += bytes.byteLength
    const plain = path.length <= MAX_PATH && !UNPRINTABLE.test(path) && !/[\n\r\t\\]|^\/|(^|\/)\.{1,2}(\/|$)/.test(path)
    if (!plain) faults.add({ ...whole, file: printable(path) }, 'the file has a name that is not read: rename it')
  }
  if (total > MAX_TOTAL_BYTES) {
    faults.add(whole, `the folder holds more than ${MAX_TOTAL_BYTES / 1024 / 1024} MiB`)
    return false
  }
  return true
}

/** Names of one kind that a person would take for each other (S4). */
const addConfusableFaults = (read: ReadSet, faults: Faults): void => {
  for (const kind of MANIFEST_KINDS) {
    const looks = new Map<string, { name: string; source: Source }>()
    for (const [name, source] of read.declared[kind]) {
      const look = confusableSkeleton(name)
      const other = looks.get(look)
      if (!other) looks.set(look, { name, source })
      else {
        const where = `${other.source.file}:${other.source.line}`
        faults.add(
          source,
          `${kind} ${quoted(name)} is too easily taken for ${quoted(other.name)} at ${where}: rename one`,
        )
      }
    }
  }
}

const addSharedResourceFaults = (tools: ReadonlyMap<string, ToolManifest>, read: ReadSet, faults: Faults): void => {
  const owners = new Map<string, ToolManifest>()
  for (const tool of tools.values()) {
    const other = owners.get(tool.resource)
    const yaml = read.documents.Tool.get(tool.name)?.yaml
    if (!other) owners.set(tool.resource, tool)
    else if (yaml) {
      const message = `"resource" ${quoted(tool.resource)} is that of tool ${quoted(other.name)} already: each tool has its own`
      faults.add(yaml.place(['spec', 'resource']), message)
    }
  }
}

const addSharedKeyWarnings = (agents: ReadonlyMap<string, AgentManifest>, faults: Faults): void => {
  const holders = new Map<string, string>()
  for (const agent of agents.values()) {
    for (const { kid } of agent.keys) {
      const other = holders.get(kid)
      if (other === undefined) holders.set(kid, agent.name)
      else
        faults.warn(agent.source, `agent ${quoted(agent.name)} has the same key as ${quoted(other)}: give each its own`)
    }
  }
}

/** What a document says, as its digest covers it: what is written, defaults, keys by thumbprint; never places or files. */
const canonicalDocument = ({ document }: Read<ManifestKind>, keys: readonly IdentityKey[], recipe?: string): Json => {
  const target =
    'target' in document.spec && recipe !== undefined ? { ...document.spec.target, recipeFile: recipe } : {}
  const spec = { ...document.spec, identity: undefined, ...(recipe === undefined ? {} : { target }) }
  return JSON.parse(JSON.stringify({ ...document, spec, keys: keys.map((key) => key.kid) }))
}

const canonicalDocuments = (
  read: ReadSet,
  agents: ReadonlyMap<string, AgentManifest>,
  tools: ReadonlyMap<string, ToolManifest>,
): Map<string, Json> => {
  const recipeOf = (name: string) => {
    const target = tools.get(name)?.target
    return target === undefined || target.type === 'none' ? undefined : target.ownRecipe
  }
  const documents = new Map<string, Json>()
  for (const kind of MANIFEST_KINDS) {
    for (const [name, document] of read.documents[kind]) {
      documents.set(
        `${kind}/${name}`,
        canonicalDocument(
          document,
          kind === 'Agent' ? (agents.get(name)?.keys ?? []) : [],
          kind === 'Tool' ? recipeOf(name) : undefined,
        ),
      )
    }
  }
  return documents
}

const mapped = <K, V, W>(map: ReadonlyMap<K, V>, change: (value: V) => W): Map<K, W> =>
  new Map([...map].map(([key, value]) => [key, change(value)]))

const link = (linking: Linking, files: ManifestFiles): ManifestSet => {
  const { read, faults } = linking
  const teams = mapped(read.documents.Team, linkTeam)
  const tools = mapped(read.documents.Tool, (tool) => linkTool(tool, linking))
  const roles = mapped(read.documents.Role, (role) => linkRole(role, tools, linking))
  const agents = mapped(read.documents.Agent, (agent) => linkAgent(agent, files, tools, linking))
  addConfusableFaults(read, faults)
  addSharedResourceFaults(tools, read, faults)
  addSharedKeyWarnings(agents, faults)
  linking.own.warnUnused()
  const documents = canonicalDocuments(read, agents, tools)
  return {
    digest: digest(Object.fromEntries(documents)),
    agents,
    tools,
    roles,
    teams,
    documentDigests: mapped(documents, digest),
    warnings: faults.warnings(),
  }
}

/**
 * Reads a whole manifest set: YAML files, and the key files and recipes that they name. Either every document is right and the set
 * is whole, or nothing is believed and `faults` says what to do, at most 100 of them and then how many more.
 */
export const parseManifests = (files: ManifestFiles, options: ParseOptions): Parsed => {
  const faults = collectFaults()
  if (!areFitFiles(files, faults)) return { ok: false, faults: faults.faults() }
  const read = emptyReadSet()
  let documents = 0
  let complete = true
  for (const path of [...files.keys()].filter(isManifestFile).sort()) {
    const file = readYaml(path, files.get(path) ?? new Uint8Array(), faults)
    complete &&= file.complete
    documents += file.documents.length
    for (const document of file.documents) {
      const named = readDocument(document, options.secretsFolder ?? null, read, faults)
      complete &&= named
    }
  }
  if (documents === 0 && faults.count() === 0) {
    const message = 'there is no manifest here: a folder that is missing or empty changes nothing'
    faults.add({ file: '.', line: 1, column: 1 }, message)
  }
  const { issuerOrigin, known, recipes } = options
  const own = ownRecipes(files, faults)
  const set = link({ read, known, issuerOrigin, recipes, own, complete, faults }, files)
  return faults.count() > 0 ? { ok: false, faults: faults.faults() } : { ok: true, set }
}
