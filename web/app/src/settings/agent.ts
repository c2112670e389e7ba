const systems: [RegExp, string][] = [[/iPhone/u, "iPhone"], [/iPad/u, "iPad"], [/Android/u, "Android"], [/CrOS/u, "ChromeOS"], [/Windows/u, "Windows"], [/Mac OS X|Macintosh/u, "macOS"], [/Linux/u, "Linux"]];
const browsers: [RegExp, string][] = [[/Edg\//u, "Edge"], [/OPR\//u, "Opera"], [/Firefox\/|FxiOS/u, "Firefox"], [/Chrome\/|CriOS/u, "Chrome"], [/Safari\//u, "Safari"]];

/** "Firefox, Linux", or the beginning of what it calls itself; null where it says nothing. */
export function nameOfAgent(userAgent: string | null): string | null {
  if (userAgent === null || userAgent.trim() === "") return null;
  const named = (all: [RegExp, string][]) => all.find(([pattern]) => pattern.test(userAgent))?.[1];
  const parts = [named(browsers), named(systems)].filter((part) => part !== undefined);
  return parts.length > 0 ? parts.join(", ") : userAgent.slice(0, 60);
}
