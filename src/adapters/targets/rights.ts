// Rights of an account as texts: one order, no doubles, and the same in the same words.

export const sortedRights = (rights: readonly string[]): readonly string[] => [...new Set(rights)].sort()

export function sameRights(one: readonly string[], other: readonly string[]): boolean {
  const [left, right] = [sortedRights(one), sortedRights(other)]
  return left.length === right.length && left.every((word, index) => word === right[index])
}
