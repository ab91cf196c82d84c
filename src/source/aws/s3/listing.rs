//! Finds the objects of a location: folder by folder where CloudTrail's layout is, many at a time.
//!
//! A location and a selection come in, the objects that are wanted go out, sorted by key. Folders that the selection does not
//! admit are never listed, and neither are those of digests, Insights and other services: their names are told.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::super::AwsError;
use super::Location;
use super::bucket::{Bucket, Listed, Page};
use super::layout::{Level, Place, Selection, folders_of_days};

/// Folders listed at a time.
const LISTINGS_MAX: usize = 32;
/// A folder of unknown kind with more folders than this is listed with all that is below it.
const UNKNOWN_FOLDERS_MAX: usize = 200;
/// Folders of unknown kind are searched to this depth; below, all is listed at once.
const UNKNOWN_DEPTH_MAX: usize = 8;

/// What a listing found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Wanted objects.
    pub(super) objects: Vec<Listed>,
    /// Folders and objects whose names say that they hold no records that matter.
    pub(super) passed_over: Vec<String>,
    /// Folders and objects outside of the selection.
    pub(super) left_out: u64,
}

/// A folder to be listed.
struct Visit {
    prefix: String,
    /// With all that is below it.
    is_flat: bool,
    /// Folders of unknown kind above it, from the location on.
    depth: usize,
}

/// Lists `location`. `tell` hears now and then how many objects were found.
pub(super) async fn list(
    bucket: &Arc<Bucket>,
    location: &Location,
    selection: &Selection,
    tell: &mut dyn FnMut(usize),
) -> Result<Found, AwsError> {
    let selection = Arc::new(selection.clone());
    let mut found = Found::default();
    let mut waiting = begin(bucket, &location.prefix, &selection, &mut found).await?;
    let mut running = JoinSet::new();
    loop {
        while running.len() < LISTINGS_MAX
            && let Some(visit) = waiting.pop()
        {
            let (bucket, selection) = (Arc::clone(bucket), Arc::clone(&selection));
            running.spawn(async move { walk(&bucket, &selection, visit).await });
        }
        let Some(outcome) = running.join_next().await else { break };
        let (more, visits) = match outcome {
            Ok(outcome) => outcome?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        found.objects.extend(more.objects);
        found.passed_over.extend(more.passed_over);
        found.left_out += more.left_out;
        waiting.extend(visits);
        tell(found.objects.len());
    }
    found.objects.sort_unstable_by(|one, two| one.key.cmp(&two.key));
    found.passed_over.sort_unstable();
    Ok(found)
}

/// Where to begin. A prefix without `/` at its end names a folder or an object, or, if neither is there, all that
/// begins with it.
async fn begin(
    bucket: &Bucket,
    prefix: &str,
    selection: &Selection,
    found: &mut Found,
) -> Result<Vec<Visit>, AwsError> {
    let visit = |prefix: String| Visit { prefix, is_flat: false, depth: 0 };
    if prefix.is_empty() || prefix.ends_with('/') {
        return Ok(vec![visit(prefix.to_owned())]);
    }
    let folder = format!("{prefix}/");
    let Page { objects, folders, .. } = pages(bucket, prefix, true, usize::MAX).await?;
    let named = objects.iter().find(|object| object.key == prefix);
    let is_folder = folders.contains(&folder);
    if named.is_some() || is_folder {
        found.objects.extend(named.map(|object| Listed { is_named: true, ..object.clone() }));
        return Ok(if is_folder { vec![visit(folder)] } else { Vec::new() });
    }
    objects.into_iter().for_each(|object| take(found, selection, object));
    Ok(folders.into_iter().filter_map(|folder| wanted(found, selection, folder, 0)).collect())
}

/// Lists one folder: what is in it, and the folders to be listed next.
async fn walk(bucket: &Bucket, selection: &Selection, visit: Visit) -> Result<(Found, Vec<Visit>), AwsError> {
    let Visit { prefix, is_flat, depth } = visit;
    let mut found = Found::default();
    let place = Place::of_folder(&prefix);
    let is_flat = is_flat
        || match place.level {
            Level::Day => true,
            Level::Unknown => depth >= UNKNOWN_DEPTH_MAX,
            _ => false,
        };
    if place.level == Level::Year
        && let (Some(first), Some(last)) = selection.days()
    {
        let folders = folders_of_days(&prefix, place.year(), first, last);
        let visits = folders.into_iter().map(|prefix| Visit { prefix, is_flat: true, depth });
        return Ok((found, visits.collect()));
    }
    // With no end of the time wanted, a month is small enough to be listed at once.
    let is_flat = is_flat || place.level == Level::Month && selection.days() == (None, None);
    let is_unknown = place.level == Level::Unknown;
    let folders_max = if is_unknown && !is_flat { UNKNOWN_FOLDERS_MAX } else { usize::MAX };
    let Page { objects, folders, .. } = pages(bucket, &prefix, !is_flat, folders_max).await?;
    if folders.len() > folders_max {
        return Ok((found, vec![Visit { prefix, is_flat: true, depth }]));
    }
    objects.into_iter().for_each(|object| take(&mut found, selection, object));
    let depth = depth + usize::from(is_unknown);
    let visits = folders.into_iter().filter_map(|folder| wanted(&mut found, selection, folder, depth));
    let visits = visits.collect();
    Ok((found, visits))
}

/// All pages of a folder; ends early once more than `folders_max` folders are seen.
async fn pages(
    bucket: &Bucket,
    prefix: &str,
    is_by_folder: bool,
    folders_max: usize,
) -> Result<Page, AwsError> {
    let mut all = bucket.page(prefix, is_by_folder, None).await?;
    while let Some(next) = all.next.take()
        && all.folders.len() <= folders_max
    {
        let page = bucket.page(prefix, is_by_folder, Some(&next)).await?;
        all.objects.extend(page.objects);
        all.folders.extend(page.folders);
        // The same way on again would lead round and round.
        all.next = page.next.filter(|again| *again != next);
    }
    Ok(all)
}

fn take(found: &mut Found, selection: &Selection, object: Listed) {
    let place = Place::of_object(&object.key);
    if place.level == Level::Other || object.key.ends_with('/') {
        found.passed_over.push(object.key);
    } else if selection.admits(&place) {
        found.objects.push(object);
    } else {
        found.left_out += 1;
    }
}

fn wanted(found: &mut Found, selection: &Selection, folder: String, depth: usize) -> Option<Visit> {
    let place = Place::of_folder(&folder);
    if !selection.admits(&place) {
        found.left_out += 1;
        None
    } else if place.level == Level::Other {
        found.passed_over.push(folder);
        None
    } else {
        Some(Visit { prefix: folder, is_flat: false, depth })
    }
}
