//! The modules of each crate, with the types they define and the paths they mention.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};
use syn::visit::Visit;
use syn::{Attribute, Expr, Item, ItemMod, Lit, Meta, UseTree};

use crate::workspace::Workspace;

/// The modules of one target: a library, a binary or a test.
#[derive(Debug)]
pub(crate) struct Crate {
    /// The package that the target belongs to.
    pub(crate) package: String,
    /// The target's name.
    pub(crate) name: String,
    /// Every module, the root first.
    pub(crate) modules: Vec<Module>,
}

/// A module of a crate.
#[derive(Debug)]
pub(crate) struct Module {
    /// Its path from the crate's root: `["repository", "sql"]`.
    pub(crate) path: Vec<String>,
    /// The file it stands in.
    pub(crate) file: PathBuf,
    /// The types that it defines.
    pub(crate) types: Vec<String>,
    /// The paths into this crate that it mentions outside of tests, from the crate's root.
    pub(crate) mentions: BTreeSet<Vec<String>>,
}

/// Parses every target of every member.
///
/// # Errors
/// If a file cannot be read or is not Rust.
pub(crate) fn parse(workspace: &Workspace) -> Result<Vec<Crate>> {
    let mut crates = Vec::new();
    for package in &workspace.packages {
        for target in &package.targets {
            let root = target.src_path.strip_prefix(&workspace.root).unwrap_or(&target.src_path);
            let mut modules = Vec::new();
            let folder = root.parent().unwrap_or_else(|| Path::new("")).to_owned();
            read_module(Vec::new(), root, &folder, &mut modules)?;
            let (package, name) = (package.name.clone(), target.name.clone());
            crates.push(Crate { package, name, modules });
        }
    }
    Ok(crates)
}

/// Reads a module's file; `folder` is where the files of its children are.
fn read_module(
    path: Vec<String>,
    file: &Path,
    folder: &Path,
    modules: &mut Vec<Module>,
) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let syntax = syn::parse_file(&text).with_context(|| format!("parse {}", file.display()))?;
    let own = file.parent().unwrap_or(folder);
    read_items(path, file, (own, folder), &syntax.items, modules)
}

/// Reads a module's items. Of the two folders, `#[path]` counts from the first, and the files of
/// other children are in the second.
fn read_items(
    path: Vec<String>,
    file: &Path,
    folders: (&Path, &Path),
    items: &[Item],
    modules: &mut Vec<Module>,
) -> Result<()> {
    let mut reader = Reader { path: &path, types: Vec::new(), mentions: BTreeSet::new() };
    items.iter().for_each(|item| reader.visit_item(item));
    let Reader { types, mentions, .. } = reader;
    modules.push(Module { path: path.clone(), file: file.to_owned(), types, mentions });
    for item in items {
        let Item::Mod(module) = item else { continue };
        let mut child = path.clone();
        child.push(module.ident.to_string());
        let below = folders.1.join(module.ident.to_string());
        match &module.content {
            Some((_, items)) if is_test(&module.attrs) => {
                // Types of tests are named too; what they import is nobody's dependency.
                let mut tests = Vec::new();
                read_items(child, file, (&below, &below), items, &mut tests)?;
                tests.iter_mut().for_each(|module| module.mentions.clear());
                modules.append(&mut tests);
            }
            Some((_, items)) => {
                read_items(child, file, (&below, &below), items, modules)?;
            }
            None => {
                let (source, folder) = child_file(module, folders, &below);
                let mut children = Vec::new();
                read_module(child, &source, &folder, &mut children)?;
                if is_test(&module.attrs) {
                    children.iter_mut().for_each(|module| module.mentions.clear());
                }
                modules.append(&mut children);
            }
        }
    }
    Ok(())
}

/// The file of `mod name;` and the folder of its own children.
fn child_file(module: &ItemMod, folders: (&Path, &Path), below: &Path) -> (PathBuf, PathBuf) {
    let given = module.attrs.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    if let Some(given) = given {
        let file = resolve(&folders.0.join(given));
        let children = file.parent().unwrap_or(folders.0).to_owned();
        return (file, children);
    }
    let flat = folders.1.join(format!("{}.rs", module.ident));
    let file = if flat.exists() { flat } else { below.join("mod.rs") };
    (file, below.to_owned())
}

/// Takes `..` out of a path that has no link in it.
fn resolve(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut resolved, part| {
        match part {
            Component::ParentDir => _ = resolved.pop(),
            part => resolved.push(part),
        }
        resolved
    })
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string().contains("test"),
        _ => false,
    })
}

/// Collects the types and the paths of one module, without its child modules.
struct Reader<'a> {
    path: &'a [String],
    types: Vec<String>,
    mentions: BTreeSet<Vec<String>>,
}

impl Reader<'_> {
    /// Notes a path that begins with `crate`, `self` or `super`.
    fn mention(&mut self, segments: &[String]) {
        let Some((first, rest)) = segments.split_first() else { return };
        let mut absolute = match first.as_str() {
            "crate" => Vec::new(),
            "self" | "super" => self.path.to_vec(),
            _ => return,
        };
        if first == "super" {
            absolute.pop();
        }
        for segment in rest {
            match segment.as_str() {
                "super" => _ = absolute.pop(),
                _ => absolute.push(segment.clone()),
            }
        }
        self.mentions.insert(absolute);
    }

    fn mention_tree(&mut self, prefix: &mut Vec<String>, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.mention_tree(prefix, &path.tree);
                prefix.pop();
            }
            UseTree::Name(name) => self.mention_leaf(prefix, name.ident.to_string()),
            UseTree::Rename(rename) => self.mention_leaf(prefix, rename.ident.to_string()),
            UseTree::Glob(_) => self.mention(prefix),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.mention_tree(prefix, tree));
            }
        }
    }

    fn mention_leaf(&mut self, prefix: &mut Vec<String>, name: String) {
        if name == "self" {
            return self.mention(prefix);
        }
        prefix.push(name);
        self.mention(prefix);
        prefix.pop();
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            // A module is read by itself.
            Item::Mod(_) => return,
            Item::Struct(item) => self.types.push(item.ident.to_string()),
            Item::Enum(item) => self.types.push(item.ident.to_string()),
            Item::Trait(item) => self.types.push(item.ident.to_string()),
            Item::Type(item) => self.types.push(item.ident.to_string()),
            Item::Use(item) => self.mention_tree(&mut Vec::new(), &item.tree),
            _ => {}
        }
        syn::visit::visit_item(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        self.mention(&segments);
        syn::visit::visit_path(self, path);
    }
}
