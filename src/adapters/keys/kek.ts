// The key-encryption key: where it comes from, and who else could read it there. Its bytes are never printed.

import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import {
  closeSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  realpathSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { dirname, sep } from 'node:path'
import { err, ok, type Result } from '../../core/result.ts'
import type { Secret } from '../../core/secret.ts'

/** Where the KEK is: given as it is, in a file the operator names, or in one generated in the data folder. */
export type KekSource =
  | { readonly from: 'value'; readonly value: Secret }
  | { readonly from: 'file'; readonly path: string }
  | { readonly from: 'data folder'; readonly path: string }

const KEK_BYTES = 32
const FILE_BYTES_MAX = 256

/** The 32 bytes in standard or URL-safe base64, white space around them allowed; null for anything else. */
export function parseKek(text: string): Uint8Array | null {
  const compact = text.trim()
  if (!/^[A-Za-z0-9+/_-]{43}=?$/.test(compact)) return null
  const bytes = Buffer.from(compact, 'base64')
  return bytes.length === KEK_BYTES ? bytes : null
}

/**
 * The KEK, or a sentence that says what is wrong with it. One is generated only where `mayGenerate` says that
 * there are no keys yet which another KEK could have sealed: the log is empty. Off loopback none may lie
 * in the data folder, links followed (S19).
 */
export function loadKek(
  source: KekSource,
  around: { readonly dataPath: string; readonly loopback: boolean; readonly mayGenerate: boolean },
): Result<KeyObject, string> {
  if (source.from === 'value') return secretKey(source.value.reveal(), 'HALLPASS_KEK')
  if (source.from === 'data folder') {
    if (!around.loopback) return err('off loopback HALLPASS_KEK must be set, and lie outside the data folder')
    if (statSync(source.path, { throwIfNoEntry: false }) === undefined) {
      if (!around.mayGenerate) {
        return err(
          `${source.path} is gone, and the database beside it is sealed with it: put it back from where you keep it`,
        )
      }
      generate(source.path)
    }
  }
  const file = statSync(source.path, { throwIfNoEntry: false })
  if (file?.isFile() !== true) return err(`${source.path} (HALLPASS_KEK) is not a file that can be read`)
  const inData = `${realpathSync(source.path)}${sep}`.startsWith(`${realpathSync(around.dataPath)}${sep}`)
  if (inData && !around.loopback) return err('off loopback the file of HALLPASS_KEK must lie outside the data folder')
  // A mounted secret may be readable by a group of its own; ours never is.
  const forbidden = source.from === 'file' ? 0o027 : 0o077
  if ((file.mode & forbidden) !== 0) return err(`${source.path} can be read by others: chmod 600 it`)
  if (file.size > FILE_BYTES_MAX) return err(`${source.path} is not 32 bytes in base64`)
  return secretKey(readFileSync(source.path, 'utf8'), source.path)
}

function secretKey(text: string, name: string): Result<KeyObject, string> {
  const bytes = parseKek(text)
  return bytes === null ? err(`${name} is not 32 bytes in base64`) : ok(createSecretKey(bytes))
}

/** Whole or not at all: a crash leaves no half-written KEK, and an existing one is never replaced. */
function generate(path: string): void {
  const draft = `${path}.${randomBytes(8).toString('hex')}`
  const file = openSync(draft, 'wx', 0o600)
  try {
    writeSync(file, `${randomBytes(KEK_BYTES).toString('base64')}\n`)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  linkSync(draft, path)
  unlinkSync(draft)
  const folder = openSync(dirname(path), 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}
