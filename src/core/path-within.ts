// Paths as words: where a written path leads, seen from a folder. Touches no disk, so it cannot see links.

/**
 * The path that `written` leads to from `folder`, both relative to one root, with `.` and `..` worked out; null where it
 * leads to the root itself or out of it.
 */
export const pathWithin = (folder: string, written: string): string | null => {
  const parts: string[] = []
  for (const part of `${folder}/${written}`.split('/')) {
    if (part === '..') {
      if (parts.pop() === undefined) return null
    } else if (part !== '' && part !== '.') parts.push(part)
  }
  return parts.length === 0 ? null : parts.join('/')
}
