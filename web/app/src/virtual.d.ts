declare module "virtual:emoji/*" {
  const groups: import("./composer/emoji").Groups;
  export default groups;
}
