// An agent's manifest: its keys from beside it, its owners, roles and access. Reads no file but those it is handed.

import { fileBeside } from './file-beside.ts'
import type { AgentManifest, IdentityKey, ManifestFiles, ToolManifest } from './manifest.ts'
import { printable, quoted, suggestion } from './manifest-faults.ts'
import type { Linking } from './manifest-link.ts'
import { linkAccess, linkOwners, refersTo, sortedUnique } from './manifest-link.ts'
import type { Read } from './manifest-read.ts'
import type { YamlDocument } from './manifest-yaml.ts'
import { identityKeyFromJwk, identityKeysFromFile } from './public-key.ts'
import type { Result } from './result.ts'
import { err } from './result.ts'

/** Real days alone: `2027-02-30` is none. */
const isDate = (text: string): boolean => {
  const time = Date.parse(`${text}T00:00:00Z`)
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text)
}

const KEY_FILE = { like: 'keys/triage-bot.pub.pem', what: 'key files' }

const keysInFile = (yaml: YamlDocument, written: string, files: ManifestFiles): Result<IdentityKey[], string> => {
  const path = fileBeside(yaml.file, written, KEY_FILE)
  if (!path.ok) return err(`"publicKeyFile" ${path.error}`)
  const bytes = files.get(path.value)
  if (!bytes) {
    const keyFiles = [...files.keys()].filter((file) => !/\.ya?ml$/.test(file))
    const near = suggestion(path.value, keyFiles, ': write it there, or name the right one')
    return err(`key file ${quoted(path.value)} is not there${near}`)
  }
  if (/\.ya?ml$/.test(path.value)) return err(`key file ${quoted(path.value)} is a manifest: name a .pem or .json file`)
  const keys = identityKeysFromFile(new TextDecoder('utf-8').decode(bytes.subarray(0, 65_536)))
  return keys.ok ? keys : err(`key file ${quoted(path.value)}: ${keys.error}`)
}

const identityKeys = (agent: Read<'Agent'>, files: ManifestFiles, linking: Linking): IdentityKey[] => {
  const { yaml } = agent
  const { faults } = linking
  const keys = new Map<string, IdentityKey>()
  for (const [index, identity] of agent.document.spec.identity.entries()) {
    const path = ['spec', 'identity', index]
    const { publicKeyFile, jwks } = identity
    if ((publicKeyFile === undefined) === (jwks === undefined)) {
      faults.add(yaml.place(path), 'an identity has either publicKeyFile or jwks: write one of them')
      continue
    }
    if (publicKeyFile !== undefined) {
      const found = keysInFile(yaml, publicKeyFile, files)
      if (found.ok) for (const key of found.value) keys.set(key.kid, key)
      else faults.add(yaml.place([...path, 'publicKeyFile']), found.error)
    }
    for (const [position, jwk] of (jwks?.keys ?? []).entries()) {
      const key = identityKeyFromJwk(jwk)
      if (key.ok) keys.set(key.value.kid, key.value)
      else faults.add(yaml.place([...path, 'jwks', 'keys', position]), `key ${position + 1}: ${key.error}`)
    }
  }
  if (keys.size > 16) faults.add(yaml.keyPlace(['spec', 'identity']), '"identity" has more than 16 keys')
  return [...keys.values()].sort((a, b) => (a.kid < b.kid ? -1 : 1))
}

export const linkAgent = (
  agent: Read<'Agent'>,
  files: ManifestFiles,
  tools: ReadonlyMap<string, ToolManifest>,
  linking: Linking,
): AgentManifest => {
  const { yaml, document, name, source } = agent
  const { spec } = document
  if (spec.reviewBy !== undefined && !isDate(spec.reviewBy)) {
    linking.faults.add(
      yaml.place(['spec', 'reviewBy']),
      `"reviewBy" is ${quoted(printable(spec.reviewBy))}: there is no such day`,
    )
  }
  if (spec.identity.length === 0 && spec.state === 'active') {
    linking.faults.warn(
      yaml.place(['spec', 'identity']),
      `agent ${quoted(name)} has no identity: it cannot open a session`,
    )
  }
  return {
    kind: 'Agent',
    name,
    labels: document.metadata.labels,
    purpose: spec.purpose,
    owners: linkOwners(spec.owners, yaml, linking),
    keys: identityKeys(agent, files, linking),
    roles: sortedUnique(
      spec.roles.filter((role, index) => refersTo('Role', role, yaml, ['spec', 'roles', index], linking)),
    ),
    access: linkAccess(spec.access, yaml, tools, linking),
    reviewBy: spec.reviewBy ?? null,
    state: spec.state,
    source,
  }
}
