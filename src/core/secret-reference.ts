// References to secrets, as words only (S5): where one may point. Nothing here reads a variable or a file.

import { quoted } from './manifest-faults.ts'
import { pathWithin } from './path-within.ts'

const TOOL_VARIABLE = /^HALLPASS_TOOL_[A-Z0-9_]+$/
const KEK_FILE = /(^|[-_.])(kek|key-encryption-key)([-_.]|$)/i

/** Whether a text is written as a reference to a secret. */
export const isSecretReference = (text: string): boolean => /^(env|file):\S/.test(text)

/** A reference that is right, taken apart: a variable, or a file's path within the secrets folder. */
export type SecretPlace =
  | { readonly from: 'env'; readonly variable: string }
  | { readonly from: 'file'; readonly path: string }

/**
 * Where a reference leads, or what is wrong with it: it names no variable of a tool's, leads out of the secrets folder,
 * or to the broker's own key. `secretsFolder` is absolute, or null for none. Links are seen only where it is opened.
 */
export const placeOfSecret = (
  reference: string,
  secretsFolder: string | null,
): { readonly ok: true; readonly place: SecretPlace } | { readonly ok: false; readonly fault: string } => {
  const no = (fault: string) => ({ ok: false, fault }) as const
  const named = quoted(reference)
  const target = reference.slice(reference.indexOf(':') + 1)
  if (reference.startsWith('env:')) {
    if (target === 'HALLPASS_KEK')
      return no(`secret reference ${named} is to Hallpass's own key: no manifest may reach it`)
    if (!TOOL_VARIABLE.test(target))
      return no(`secret reference ${named}: a manifest may name HALLPASS_TOOL_* variables alone`)
    return { ok: true, place: { from: 'env', variable: target } }
  }
  const path = target.replaceAll('\\', '/')
  if (KEK_FILE.test(path.split('/').at(-1) ?? '')) {
    return no(`secret reference ${named} is to Hallpass's own key: no manifest may reach it`)
  }
  const folder = secretsFolder?.replace(/\/+$/, '') ?? null
  const isAbsolute = path.startsWith('/')
  const relative = isAbsolute && folder !== null && path.startsWith(`${folder}/`) ? path.slice(folder.length) : path
  const within = isAbsolute && relative === path ? null : pathWithin('', relative)
  if (within === null) {
    return no(
      `secret reference ${named} leads out of the secrets folder: name a file inside it, like file:tickets-token`,
    )
  }
  return { ok: true, place: { from: 'file', path: within } }
}

/** What is wrong with a reference, or null. */
export const secretReferenceFault = (reference: string, secretsFolder: string | null): string | null => {
  const found = placeOfSecret(reference, secretsFolder)
  return found.ok ? null : found.fault
}
