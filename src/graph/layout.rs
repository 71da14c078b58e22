//! Where each element lies: columns by the longest way from a source, rows so that links cross little. Pure.

use super::model::Cluster;

/// The column and row of each node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// From the left, from 0.
    pub column: usize,
    /// From the top, from 0.
    pub row: usize,
}

/// Gives each node of a cluster a cell of its own.
pub fn layout(cluster: &Cluster) -> Vec<Cell> {
    let columns = columns(cluster);
    let last = columns.iter().copied().max().unwrap_or(0);
    let mut rows = vec![0usize; columns.len()];
    for column in 0..=last {
        let mut nodes: Vec<usize> = (0..columns.len())
            .filter(|node| columns[*node] == column)
            .collect();
        // Each node stands where those that feed it stand, on average.
        let before = rows.clone();
        let wish = |node: usize| {
            let feeders: Vec<usize> = cluster
                .edges
                .iter()
                .filter(|edge| edge.to == node && columns[edge.from] < column)
                .map(|edge| before[edge.from])
                .collect();
            match feeders.len() {
                0 => usize::MAX,
                count => feeders.iter().sum::<usize>() * 8 / count,
            }
        };
        nodes.sort_by_key(|node| (wish(*node), *node));
        let mut free = 0;
        for node in nodes {
            let wished = match wish(node) {
                usize::MAX => free,
                wish => wish / 8,
            };
            rows[node] = wished.max(free);
            free = rows[node] + 1;
        }
    }
    columns
        .into_iter()
        .zip(rows)
        .map(|(column, row)| Cell { column, row })
        .collect()
}

/// The longest way to each node; a loop ends where it has gone as often as there are nodes.
fn columns(cluster: &Cluster) -> Vec<usize> {
    let count = cluster.nodes.len();
    let mut columns = vec![0; count];
    for _ in 0..count {
        let mut is_settled = true;
        for edge in &cluster.edges {
            if edge.from < count && edge.to < count && columns[edge.to] < columns[edge.from] + 1 {
                let wanted = columns[edge.from] + 1;
                if wanted < count {
                    columns[edge.to] = wanted;
                    is_settled = false;
                }
            }
        }
        if is_settled {
            break;
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::super::model::{Class, Edge, Node};
    use super::*;

    fn cluster(count: usize, links: &[(usize, usize)]) -> Cluster {
        let node = Node {
            title: "x".into(),
            properties: Vec::new(),
            class: Class::Filter,
        };
        let edges = links.iter().map(|(from, to)| Edge {
            from: *from,
            to: *to,
            caps: Vec::new(),
        });
        Cluster {
            name: "x".into(),
            nodes: vec![node; count],
            edges: edges.collect(),
        }
    }

    #[test]
    fn links_go_to_the_right_and_no_two_nodes_share_a_cell() {
        for (count, links) in [
            (1, vec![]),
            (4, vec![(0, 1), (1, 2), (2, 3)]),
            (6, vec![(0, 1), (1, 2), (1, 3), (2, 4), (3, 4), (5, 4)]),
            (5, vec![(4, 3), (3, 2), (2, 1), (1, 0)]),
        ] {
            let cells = layout(&cluster(count, &links));
            for (from, to) in links {
                assert!(cells[from].column < cells[to].column);
            }
            for (index, cell) in cells.iter().enumerate() {
                assert!(!cells[..index].contains(cell), "{cells:?}");
            }
        }
    }

    #[test]
    fn a_loop_is_laid_out_too() {
        assert_eq!(layout(&cluster(3, &[(0, 1), (1, 2), (2, 0)])).len(), 3);
    }
}
