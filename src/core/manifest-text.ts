// From bytes to a text that is fit to be read as YAML, and from offsets in it to lines and columns.
// Secrets pasted by mistake end here, unread and unechoed.

import type { Source } from './manifest.ts'
import type { Faults } from './manifest-faults.ts'
import { UNPRINTABLE } from './manifest-faults.ts'

/** What a manifest set may hold at most, for whoever reads it from somewhere. */
export const MAX_FILES = 10_000
export const MAX_FILE_BYTES = 1024 * 1024
export const MAX_TOTAL_BYTES = 32 * 1024 * 1024

const PRIVATE_KEY = /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY/
const OUR_TOKEN = /\bhp_(?:owner|admin|audit|pub|verify)_[A-Za-z0-9_-]{8}/

/** Offsets of a text to line and column, by binary search. */
export const places = (file: string, text: string): ((offset: number) => Source) => {
  const starts = [0]
  for (let next = text.indexOf('\n'); next >= 0; next = text.indexOf('\n', next + 1)) starts.push(next + 1)
  return (offset) => {
    let low = 0
    let high = starts.length
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if (starts[middle]! <= offset) low = middle
      else high = middle
    }
    return { file, line: low + 1, column: offset - starts[low]! + 1 }
  }
}

/** The text of a file without its byte order mark, or null after a fault. */
export const decode = (file: string, bytes: Uint8Array, faults: Faults): string | null => {
  const start = { file, line: 1, column: 1 }
  if (bytes.byteLength > MAX_FILE_BYTES) {
    faults.add(start, `the file is larger than ${MAX_FILE_BYTES / 1024} KiB: split it`)
    return null
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    faults.add(start, 'the file is not UTF-8 text: save it as UTF-8')
    return null
  }
}

/** Everything that makes a text unfit before it is YAML at all; true where it may be read on. */
export const isFit = (text: string, at: (offset: number) => Source, faults: Faults): boolean => {
  const privateKey = PRIVATE_KEY.exec(text)
  if (privateKey) {
    const advice =
      'a manifest names public keys alone; take it out, and make the agent a new key, for this one has been seen'
    faults.add(at(privateKey.index), `a private key is pasted here: ${advice}`)
  }
  const token = OUR_TOKEN.exec(text)
  if (token) faults.add(at(token.index), 'a Hallpass token is pasted here: take it out and revoke it')
  const strange = UNPRINTABLE.exec(text) ?? /\r(?!\n)/.exec(text)
  if (strange) {
    const code = (strange[0].codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')
    faults.add(at(strange.index), `the control or invisible character U+${code} is not read in a manifest: remove it`)
  }
  return !privateKey && !token && !strange
}
