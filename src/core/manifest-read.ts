// From one YAML document to one document that its kind's schema accepts. Knows nothing of other documents.

import type { ManifestKind, Source } from './manifest.ts'
import type { Faults } from './manifest-faults.ts'
import { oneOf, quoted, suggestion, withArticle } from './manifest-faults.ts'
import { addIssues, valueAt } from './manifest-issues.ts'
import type { Documents } from './manifest-schema.ts'
import { API_VERSION, MANIFEST_KINDS, MANIFEST_SCHEMAS, NAME } from './manifest-schema.ts'
import type { Path, YamlDocument } from './manifest-yaml.ts'
import { isSecretReference, secretReferenceFault } from './secret-reference.ts'

/** A document that its schema accepts, with the places of its values. */
export type Read<K extends ManifestKind> = {
  readonly kind: K
  readonly name: string
  readonly document: Documents[K]
  readonly yaml: YamlDocument
  readonly source: Source
}

/** All that was read of a set. `declared` has the names of faulty documents too: they are not unknown, only unreadable. */
export type ReadSet = {
  readonly documents: { readonly [K in ManifestKind]: Map<string, Read<K>> }
  readonly declared: Readonly<Record<ManifestKind, Map<string, Source>>>
}

export const emptyReadSet = (): ReadSet => ({
  documents: { Agent: new Map(), Tool: new Map(), Role: new Map(), Team: new Map() },
  declared: { Agent: new Map(), Tool: new Map(), Role: new Map(), Team: new Map() },
})

/** The kind of a document, or null after a fault. */
const kindOf = (yaml: YamlDocument, faults: Faults): ManifestKind | null => {
  if (typeof yaml.value !== 'object' || yaml.value === null || Array.isArray(yaml.value)) {
    if (!yaml.faulty([]))
      faults.add(yaml.place([]), 'a document must be a mapping that starts with apiVersion and kind')
    return null
  }
  const version = valueAt(yaml.value, ['apiVersion'])
  const kind = valueAt(yaml.value, ['kind'])
  if (version === undefined || kind === undefined) {
    const missing = version === undefined ? 'apiVersion' : 'kind'
    const write = version === undefined ? `apiVersion: ${API_VERSION}` : `kind: ${MANIFEST_KINDS.join(' | ')}`
    faults.add(yaml.place([]), `${quoted(missing)} is missing: write ${write}`)
    return null
  }
  if (version !== API_VERSION) {
    if (!yaml.faulty(['apiVersion'])) {
      const shown = typeof version === 'string' ? quoted(version) : 'not a string'
      faults.add(yaml.place(['apiVersion']), `apiVersion is ${shown}: this version reads ${quoted(API_VERSION)}`)
    }
    return null
  }
  const known = MANIFEST_KINDS.find((candidate) => candidate === kind)
  if (known) return known
  if (!yaml.faulty(['kind'])) {
    const otherwise = `: it takes ${oneOf(MANIFEST_KINDS)}`
    const message =
      typeof kind === 'string'
        ? `unknown kind ${quoted(kind)}${suggestion(kind, MANIFEST_KINDS, otherwise)}`
        : `"kind" must be one word${otherwise}`
    faults.add(yaml.place(['kind']), message)
  }
  return null
}

/** The fields that are references. */
const SECRET_FIELDS = new Set(['spec.target.secret', 'spec.upstream.secret', 'spec.mcp.secret'])
const FREE_TEXT = new Set(['purpose', 'description', 'labels'])

/** Every reference to a secret in a document, wherever one could be meant (S5). Depth was bounded by the YAML reader. */
const addSecretFaults = (
  value: unknown,
  path: Path,
  yaml: YamlDocument,
  folder: string | null,
  faults: Faults,
): void => {
  if (typeof value === 'string') {
    if (!isSecretReference(value)) return
    const fault = secretReferenceFault(value, folder)
    if (fault !== null) faults.add(yaml.place(path), fault)
    else if (!SECRET_FIELDS.has(path.join('.')))
      faults.add(
        yaml.place(path),
        `secret reference ${quoted(value)}: only a Tool's target.secret, upstream.secret and mcp.secret are one`,
      )
  } else if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) addSecretFaults(item, [...path, index], yaml, folder, faults)
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) {
      if (!FREE_TEXT.has(key)) addSecretFaults(item, [...path, key], yaml, folder, faults)
    }
  }
}

const readAs = <K extends ManifestKind>(kind: K, yaml: YamlDocument, into: ReadSet, faults: Faults): boolean => {
  const name = valueAt(yaml.value, ['metadata', 'name'])
  const source = yaml.place([])
  if (typeof name === 'string' && NAME.test(name)) {
    const first = into.declared[kind].get(name)
    if (first) {
      const where = `${first.file}:${first.line}`
      faults.add(
        yaml.place(['metadata', 'name']),
        () => `there is ${withArticle(kind)} named ${quoted(name)} already, at ${where}: rename one`,
      )
      return true
    }
    into.declared[kind].set(name, yaml.place(['metadata', 'name']))
  }
  const result = MANIFEST_SCHEMAS[kind].safeParse(yaml.value)
  if (!result.success) {
    addIssues(kind, yaml, result.error.issues, faults)
    return typeof name === 'string' && into.declared[kind].has(name)
  }
  // The schema of a kind yields that kind's document, which TypeScript does not see through the index.
  const document = result.data as Documents[K]
  into.documents[kind].set(document.metadata.name, { kind, name: document.metadata.name, document, yaml, source })
  return true
}

/** Reads one document into the set; what is wrong with it alone becomes faults. Says whether its name could be read. */
export const readDocument = (
  yaml: YamlDocument,
  secretsFolder: string | null,
  into: ReadSet,
  faults: Faults,
): boolean => {
  const kind = kindOf(yaml, faults)
  if (kind === null) return false
  addSecretFaults(yaml.value, [], yaml, secretsFolder, faults)
  return readAs(kind, yaml, into, faults)
}
