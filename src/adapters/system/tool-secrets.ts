// Opens a reference to a tool's secret at the moment that it is used: a variable of the environment, or a file in the
// secrets folder, links followed first. It reads nothing of the data folder's and says nothing of what it read (S5).

import { readFileSync, realpathSync, statSync } from 'node:fs'
import { join, sep } from 'node:path'
import { err, ok, type Result } from '../../core/result.ts'
import { Secret } from '../../core/secret.ts'
import { placeOfSecret } from '../../core/secret-reference.ts'

const BYTES_MAX = 4096

export type SecretSources = {
  readonly env: Readonly<Record<string, string | undefined>>
  /** HALLPASS_SECRETS; null for none. */
  readonly secretsPath: string | null
  readonly dataPath: string
  /** The broker's own key, where it is a file; null otherwise. */
  readonly kekPath: string | null
}

/** The secret, without the line's end; the error is a sentence for whoever runs the broker. */
export function readToolSecret(reference: string, sources: SecretSources): Result<Secret, string> {
  const found = placeOfSecret(reference, sources.secretsPath)
  if (!found.ok) return err(found.fault)
  const text =
    found.place.from === 'env'
      ? variable(found.place.variable, sources.env)
      : file(found.place.path, reference, sources)
  if (!text.ok) return text
  const secret = text.value.replace(/\r?\n$/, '')
  if (secret === '' || /\p{Cc}/u.test(secret)) return err(`${reference} is empty, or more than one line of text`)
  return ok(new Secret(secret))
}

function variable(name: string, env: SecretSources['env']): Result<string, string> {
  const value = Object.hasOwn(env, name) ? env[name] : undefined
  return value === undefined ? err(`${name} is not set where the broker was started`) : ok(value)
}

function file(path: string, reference: string, { secretsPath, dataPath, kekPath }: SecretSources) {
  if (secretsPath === null) return err(`${reference}: HALLPASS_SECRETS names no folder to look in`)
  try {
    const real = realpathSync(join(secretsPath, path))
    if (!isWithin(real, realpathSync(secretsPath))) return err(`${reference} leads out of the secrets folder`)
    if (isWithin(real, realpathSync(dataPath))) return err(`${reference} leads into the data folder`)
    if (kekPath !== null && real === realpathSync(kekPath)) return err(`${reference} is Hallpass's own key`)
    const { size, mode } = statSync(real)
    if (size > BYTES_MAX) return err(`${reference} is longer than ${BYTES_MAX} bytes`)
    // A mounted secret may be readable by a group of its own; never by everyone.
    if ((mode & 0o007) !== 0) return err(`${reference} can be read by everyone: chmod o= it`)
    return ok(readFileSync(real, 'utf8'))
  } catch (thrown) {
    const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'unreadable'
    return err(`${reference} cannot be read (${code})`)
  }
}

const isWithin = (path: string, folder: string): boolean => path.startsWith(`${folder}${sep}`)
